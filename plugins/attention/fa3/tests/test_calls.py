"""What this plugin does around the library, with a stand-in for it in plain torch on the CPU.

The stand-in defines the library's operators by its published argument lists and computes what they promise; whether
the real ones keep that promise is for `nanoplug verify attention fa3` on such a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from attrs import evolve
from nanoplug_attention_fa3 import attention, library
from nanoplug_attention_fa3.documents import document_bounds, document_limit
from nanoplug_attention_fa3.library import Library, _check_operators
from nanoplug_attention_fa3.manifest import nanoplug_attention
from nanoplug_attention_fa3.operators import is_aligned
from torch import Tensor

from nanoplug.conformance.attention_laws import LAWS
from nanoplug.conformance.law import Law, Subject, verify
from nanoplug.contracts import LayerCache, Mask
from nanoplug.errors import ConfigError, ContractError, PluginError

FORWARD = """fwd(Tensor q, Tensor k, Tensor v, Tensor(a!)? k_new=None, Tensor(b!)? v_new=None,
    Tensor? cu_seqlens_q=None, Tensor? cu_seqlens_k=None, Tensor? seqused_k=None, int? max_seqlen_q=None,
    int? max_seqlen_k=None, bool is_causal=False, int window_size_left=-1, int window_size_right=-1,
    int num_splits=0) -> (Tensor, Tensor, Tensor, Tensor)"""
BACKWARD = """bwd(Tensor dout, Tensor q, Tensor k, Tensor v, Tensor out, Tensor softmax_lse, Tensor(a!)? dq=None,
    Tensor(b!)? dk=None, Tensor(c!)? dv=None, Tensor? cu_seqlens_q=None, Tensor? cu_seqlens_k=None,
    int? max_seqlen_q=None, int? max_seqlen_k=None, bool is_causal=False, int window_size_left=-1,
    int window_size_right=-1, bool deterministic=False) -> Tensor"""


def weights(q: Tensor, k: Tensor, left: int, right: int) -> tuple[Tensor, Tensor]:
    """One row, q (T, H, D) and k (S, H, D): softmax (H, T, S) and the log-sum-exp of the scores, (H, T)."""
    distance = torch.arange(q.shape[0])[:, None] + k.shape[0] - q.shape[0] - torch.arange(k.shape[0])
    seen = torch.ones_like(distance, dtype=torch.bool)
    seen = seen & (distance <= left) if left >= 0 else seen
    seen = seen & (-distance <= right) if right >= 0 else seen
    scores = torch.einsum("thd,shd->hts", q, k) * q.shape[-1] ** -0.5
    scores = scores.masked_fill(~seen, -torch.inf)
    return scores.softmax(-1), scores.logsumexp(-1)


def rows(q: Tensor, k: Tensor, v: Tensor, left: int, right: int) -> tuple[Tensor, Tensor]:
    """One row, (T, H, D): output in fp32 and the log-sum-exp, queries at the end of the keys; -1 is unlimited."""
    k, v = (x.float().repeat_interleave(q.shape[1] // k.shape[1], 1) for x in (k, v))
    weight, log_sum = weights(q.float(), k, left, right)
    return torch.einsum("hts,shd->thd", weight, v), log_sum


def rows_backward(upstream: Tensor, q: Tensor, k: Tensor, v: Tensor, left: int, right: int) -> tuple[Tensor, ...]:
    """Gradients of q, k and v of one row, in fp32."""
    groups, ratio = k.shape[1], q.shape[1] // k.shape[1]
    upstream, q = upstream.float(), q.float()
    k, v = (x.float().repeat_interleave(ratio, 1) for x in (k, v))
    weight, _ = weights(q, k, left, right)
    of_weight = torch.einsum("thd,shd->hts", upstream, v)
    of_score = weight * (of_weight - (of_weight * weight).sum(-1, keepdim=True)) * q.shape[-1] ** -0.5
    dk, dv = torch.einsum("hts,thd->shd", of_score, q), torch.einsum("hts,thd->shd", weight, upstream)
    dk, dv = (x.unflatten(1, (groups, ratio)).sum(2) for x in (dk, dv))
    return torch.einsum("hts,shd->thd", of_score, k), dk, dv


def forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    k_new: Tensor | None = None,
    v_new: Tensor | None = None,
    cu_seqlens_q: Tensor | None = None,
    cu_seqlens_k: Tensor | None = None,
    seqused_k: Tensor | None = None,
    max_seqlen_q: int | None = None,
    max_seqlen_k: int | None = None,
    is_causal: bool = False,
    window_size_left: int = -1,
    window_size_right: int = -1,
    num_splits: int = 0,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    assert all(map(is_aligned, (q, k, v)))
    left, right = window_size_left, 0 if is_causal else window_size_right
    if cu_seqlens_q is not None:
        lengths = cu_seqlens_q.diff().tolist()
        assert min(lengths) >= 0
        assert max(lengths) <= (max_seqlen_q or 0)
        cut = (x.split(lengths) for x in (q, k, v))
        pieces = [rows(q, k, v, left, right) for q, k, v in zip(*cut, strict=True)]
        output, log_sum = torch.cat([one for one, _ in pieces]), torch.cat([two for _, two in pieces], 1)
    else:
        held = [k.shape[1]] * len(k) if seqused_k is None else seqused_k.tolist()
        if k_new is not None and v_new is not None:
            for row, start in enumerate(held):
                held[row] = start + k_new.shape[1]
                k[row, start : held[row]], v[row, start : held[row]] = k_new[row], v_new[row]
        pieces = [rows(q[row], k[row, :end], v[row, :end], left, right) for row, end in enumerate(held)]
        output, log_sum = torch.stack([one for one, _ in pieces]), torch.stack([two for _, two in pieces])
    return output.to(q.dtype), log_sum, q.new_empty(0), q.new_empty(0)


def backward(
    dout: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    softmax_lse: Tensor,
    dq: Tensor,
    dk: Tensor,
    dv: Tensor,
    cu_seqlens_q: Tensor | None = None,
    cu_seqlens_k: Tensor | None = None,
    max_seqlen_q: int | None = None,
    max_seqlen_k: int | None = None,
    is_causal: bool = False,
    window_size_left: int = -1,
    window_size_right: int = -1,
    deterministic: bool = False,
) -> Tensor:
    assert all(map(is_aligned, (dout, q, k, v, out)))
    left, right = window_size_left, 0 if is_causal else window_size_right
    cuts = None if cu_seqlens_q is None else cu_seqlens_q.diff().tolist()
    parts = (x.unbind() if cuts is None else x.split(cuts) for x in (dout, q, k, v))
    pieces = [rows_backward(one, q, k, v, left, right) for one, q, k, v in zip(*parts, strict=True)]
    join = torch.stack if cu_seqlens_q is None else torch.cat
    for place, gradients in zip((dq, dk, dv), zip(*pieces, strict=True), strict=True):
        place.copy_(join(gradients))
    return softmax_lse.new_empty(0)


@pytest.fixture(scope="module")
def subject() -> Iterator[Subject]:
    """The backend over the stand-in, taking CPU tensors."""
    stand_in = torch.library.Library("flash_attn_3", "DEF")
    stand_in.define(FORWARD)
    stand_in.define(BACKWARD)
    stand_in.impl("fwd", forward, "CPU")
    stand_in.impl("bwd", backward, "CPU")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "load_library", lambda: Library("stand-in", ()))
        patch.setattr(attention, "served_devices", lambda found: (torch.device("cpu"),))
        backend = attention.Fa3Attention()
        # fp16 has no CPU kernels to speak of; one rounded dtype shows all that is ours.
        spec = evolve(nanoplug_attention()[0], dtypes={"bf16"})
        yield Subject(kind="attention", name="fa3", spec=spec, backend=backend)
    stand_in._destroy()


# The stand-in sees all T x T scores, so what it holds says nothing of the real one.
@pytest.mark.parametrize("law", [law for law in LAWS if law.name != "memory"], ids=lambda law: law.name)
def test_keeps_the_laws_if_the_library_does(law: Law, subject: Subject) -> None:
    broken = [f"{one.case}: {one.detail}" for one in verify([law], subject) if not one.ok]
    assert not broken


def test_the_operators_are_well_registered(subject: Subject) -> None:
    q = torch.randn(1, 5, 4, 8, dtype=torch.bfloat16, requires_grad=True)
    k, v = (torch.randn(1, 9, 2, 8, dtype=torch.bfloat16, requires_grad=True) for _ in range(2))
    checks = ("test_schema", "test_faketensor", "test_autograd_registration")
    torch.library.opcheck(torch.ops.nanoplug_fa3.attend.default, (q, k, v, None, 0, True, 3, False), test_utils=checks)
    held = [torch.zeros(1, 12, 2, 8, dtype=torch.bfloat16) for _ in range(2)]
    new = [x.detach()[:, :5].contiguous() for x in (q, k, v)]
    arguments = (*new, *held, torch.tensor([4], dtype=torch.int32), -1)
    torch.library.opcheck(torch.ops.nanoplug_fa3.attend_cached.default, arguments, test_utils=checks)


def test_documents_start_where_numbers_rise_and_where_rows_begin() -> None:
    segments_BT = torch.tensor([[0, 0, 1, 1, 1], [0, 4, 4, 9, 9]])
    assert document_bounds(segments_BT, 7).tolist() == [0, 2, 5, 6, 8, 10, 10, 10]
    assert document_bounds(segments_BT, 5).tolist() == [0, 2, 5, 6, 8, 10]
    assert document_bounds(segments_BT, 5).dtype == torch.int32
    assert document_bounds(torch.zeros(3, 1, dtype=torch.int32), 3).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("numbers, limit", [([[0, 1, 2, 3]], 3), ([[0, 1, 0, 0]], 4)])
def test_documents_that_do_not_fit_or_come_again_are_refused(numbers: list[list[int]], limit: int) -> None:
    with pytest.raises(RuntimeError, match="fa3"):
        document_bounds(torch.tensor(numbers), limit)


def test_room_for_documents() -> None:
    assert document_limit(2, 17, 64) == 32
    assert document_limit(1, 8, 64) == 8
    assert document_limit(32, 2048, 64) == 1024


def test_gradients_that_are_not_laid_out_for_the_kernel_are_copied(subject: Subject) -> None:
    inputs = [torch.randn(2, 6, 2, 8, dtype=torch.bfloat16, requires_grad=True) for _ in range(3)]
    output = subject.backend.attend(*inputs, mask=Mask())
    want = torch.autograd.grad(output, inputs, torch.ones_like(output), retain_graph=True)
    got = torch.autograd.grad(output.sum(), inputs)  # its upstream gradient has strides of 0
    assert all(map(torch.equal, got, want))


def test_limits_are_named_before_a_launch(subject: Subject) -> None:
    backend = subject.backend

    def inputs(head_dim: int) -> list[Tensor]:
        return [torch.zeros(1, 4, 2, head_dim, dtype=torch.bfloat16) for _ in range(3)]

    with pytest.raises(ContractError, match="multiple of 8 up to 256"):
        backend.attend(*inputs(264), mask=Mask())
    with pytest.raises(ContractError, match="multiple of 8 up to 256"):
        backend.attend(*inputs(20), mask=Mask())
    with pytest.raises(ContractError, match="at most 192"):
        attention.Fa3Attention(deterministic=True).attend(*inputs(256), mask=Mask())
    with pytest.raises(ContractError, match="on meta; stand-in serves cpu"):
        backend.attend(*(x.to("meta") for x in inputs(64)), mask=Mask())
    held = [torch.zeros(1, 8, 2, 64, dtype=torch.bfloat16) for _ in range(2)]
    cache = LayerCache(held[0], held[1], torch.zeros(1, dtype=torch.int64), 0, True)
    with pytest.raises(ContractError, match=r"lengths are torch\.int64"):
        backend.attend_cached(*inputs(64), cache, mask=Mask())


def test_room_for_no_document_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        attention.Fa3Attention(tokens_per_document=0)


def test_a_library_with_other_operators_is_refused(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    _check_operators(Library("stand-in", ()))
    monkeypatch.setitem(library.ARGUMENTS, "fwd", "page_size")
    with pytest.raises(PluginError, match="no argument page_size"):
        _check_operators(Library("stand-in", ()))
