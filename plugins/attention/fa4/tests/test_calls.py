"""What this plugin does around the library, with a stand-in for its two calls in plain torch on the CPU.

Whether the real calls do what the stand-in does is for `nanoplug verify attention fa4` on such a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from attrs import evolve
from nanoplug_attention_fa4 import attention, operators
from nanoplug_attention_fa4.manifest import nanoplug_attention
from nanoplug_attention_fa4.operators import library as find_library
from torch import Tensor

from nanoplug.conformance.attention_laws import LAWS
from nanoplug.conformance.law import Law, Subject, verify
from nanoplug.contracts import LayerCache, Mask
from nanoplug.errors import ContractError, PluginError


def scores(q: Tensor, k: Tensor, causal: bool, left: int | None) -> Tensor:
    """(B, H, T, S) in fp32, -inf where a query may not look; queries at the end of the keys."""
    k = k.repeat_interleave(q.shape[2] // k.shape[2], 2)
    distance = torch.arange(q.shape[1])[:, None] + k.shape[1] - q.shape[1] - torch.arange(k.shape[1])
    hidden = (distance < 0) & causal
    hidden = hidden if left is None else hidden | (distance > left)
    found: Tensor = torch.einsum("bthd,bshd->bhts", q.float(), k.float())
    return found.mul(q.shape[-1] ** -0.5).masked_fill(hidden, -torch.inf)


def forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    return_lse: bool,
    causal: bool,
    window_size_left: int | None = None,
    window_size_right: int | None = None,
) -> tuple[Tensor, Tensor, None]:
    assert return_lse
    score = scores(q, k, causal, window_size_left)
    v = v.float().repeat_interleave(q.shape[2] // v.shape[2], 2)
    output = torch.einsum("bhts,bshd->bthd", score.softmax(-1), v).to(q.dtype).contiguous()
    return output, score.logsumexp(-1), None


def backward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    dout: Tensor,
    lse: Tensor,
    *,
    dq: Tensor,
    dk: Tensor,
    dv: Tensor,
    causal: bool,
    window_size_left: int | None = None,
    window_size_right: int | None = None,
) -> None:
    assert dout.is_contiguous()
    ratio = q.shape[2] // k.shape[2]
    weight = (scores(q, k, causal, window_size_left) - lse[..., None]).exp()
    k, v = (x.float().repeat_interleave(ratio, 2) for x in (k, v))
    of_weight = torch.einsum("bthd,bshd->bhts", dout.float(), v)
    of_score = weight * (of_weight - (of_weight * weight).sum(-1, keepdim=True)) * q.shape[-1] ** -0.5
    dq.copy_(torch.einsum("bhts,bshd->bthd", of_score, k))
    dk.copy_(torch.einsum("bhts,bthd->bshd", of_score, q.float()).unflatten(2, (-1, ratio)).sum(3))
    dv.copy_(torch.einsum("bhts,bthd->bshd", weight, dout.float()).unflatten(2, (-1, ratio)).sum(3))


@pytest.fixture(scope="module")
def subject() -> Iterator[Subject]:
    """The backend over the stand-in, taking CPU tensors."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operators, "library", lambda: operators.Library(forward, backward))
        patch.setattr(attention, "served_devices", lambda: (torch.device("cpu"),))
        spec = evolve(nanoplug_attention()[0], dtypes={"bf16"})
        yield Subject(kind="attention", name="fa4", spec=spec, backend=attention.Fa4Attention())


# The stand-in sees all T x T scores, so what it holds says nothing of the real one.
@pytest.mark.parametrize("law", [law for law in LAWS if law.name != "memory"], ids=lambda law: law.name)
def test_keeps_the_laws_if_the_library_does(law: Law, subject: Subject) -> None:
    broken = [f"{one.case}: {one.detail}" for one in verify([law], subject) if not one.ok]
    assert not broken


def test_the_operator_is_well_registered(subject: Subject) -> None:
    q = torch.randn(1, 5, 4, 8, dtype=torch.bfloat16, requires_grad=True)
    k, v = (torch.randn(1, 9, 2, 8, dtype=torch.bfloat16, requires_grad=True) for _ in range(2))
    checks = ("test_schema", "test_faketensor", "test_autograd_registration")
    torch.library.opcheck(torch.ops.nanoplug_fa4.attend.default, (q, k, v, True, 3), test_utils=checks)


def test_a_window_that_hides_nothing_is_no_window(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int | None] = []

    def watched(q: Tensor, k: Tensor, v: Tensor, *, window_size_left: int | None = None, **rest: bool) -> object:
        seen.append(window_size_left)
        return forward(q, k, v, window_size_left=window_size_left, return_lse=True, causal=rest["causal"])

    monkeypatch.setattr(operators, "library", lambda: operators.Library(watched, backward))
    q, k, v = (torch.randn(1, 6, 2, 32, dtype=torch.bfloat16) for _ in range(3))
    for window in (-1, 0, 4, 5, 60):
        subject.backend.attend(q, k, v, mask=Mask(window=window))
    assert seen == [None, 0, 4, None, None]


def test_limits_are_named_before_a_launch(subject: Subject) -> None:
    def inputs(head_dim: int) -> list[Tensor]:
        return [torch.zeros(1, 4, 2, head_dim, dtype=torch.bfloat16) for _ in range(3)]

    for head_dim in (8, 40, 160):
        with pytest.raises(ContractError, match="it must be 32, 64, 96, 128"):
            subject.backend.attend(*inputs(head_dim), mask=Mask())
    with pytest.raises(ContractError, match="segments are not served"):
        subject.backend.attend(*inputs(64), mask=Mask(segments_BT=torch.zeros(1, 4, dtype=torch.int32)))
    with pytest.raises(ContractError, match="on meta; it serves cpu"):
        subject.backend.attend(*(x.to("meta") for x in inputs(64)), mask=Mask())
    held = [torch.zeros(1, 8, 2, 64, dtype=torch.bfloat16) for _ in range(2)]
    cache = LayerCache(held[0], held[1], torch.zeros(1, dtype=torch.int32), 0, True)
    with pytest.raises(ContractError, match="cached call is not served"):
        subject.backend.attend_cached(*inputs(64), cache, mask=Mask())


def test_a_library_with_other_calls_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "MODULE", "json")
    with pytest.raises(PluginError, match="not one that the plugin knows"):
        find_library.__wrapped__()
    monkeypatch.setattr(operators, "MODULE", "no_such_module.cute")
    with pytest.raises(PluginError, match="importing no_such_module"):
        find_library.__wrapped__()
