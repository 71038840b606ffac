"""The kernels on the CPU, in Pallas's interpreter: needs JAX, and neither torch_xla nor a TPU."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from attrs import evolve
from nanoplug_attention_pallas.attention import Kernels, PallasAttention
from nanoplug_attention_pallas.lengths import legal_head_dim, legal_length
from nanoplug_attention_pallas.manifest import nanoplug_attention
from torch import Tensor

from nanoplug.conformance import AttentionLaws
from nanoplug.conformance.attention_calls import Call
from nanoplug.conformance.attention_laws import check_gradients, check_output
from nanoplug.conformance.law import Subject
from nanoplug.contracts import LayerCache, Mask
from nanoplug.errors import ContractError

pytest.importorskip("jax", reason="the interpreter needs JAX: pip install nanoplug-attention-pallas[interpret]")
from nanoplug_attention_pallas.interpreted import Interpreted

(SPEC,) = nanoplug_attention()
# fp32 alone for time's sake; and what the interpreter holds says nothing of the memory of a TPU.
INTERPRETED = Subject(
    kind="attention",
    name="pallas",
    spec=evolve(SPEC, dtypes={"fp32"}, memory="quadratic"),
    backend=PallasAttention(kernels=Interpreted()),
)


class Watched:
    """Says which kernel was called, on which shapes."""

    device_type = "cpu"

    def __init__(self, inner: Kernels) -> None:
        self.inner, self.calls = inner, list[tuple[str, tuple[int, ...], tuple[int, ...]]]()

    def check(self, batch: int, heads: int, groups: int) -> None:
        self.inner.check(batch, heads, groups)

    def flash(self, q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor, *, scale: float) -> Tensor:
        self.calls.append(("flash", tuple(q_BHTD.shape), tuple(k_BHTD.shape)))
        return self.inner.flash(q_BHTD, k_BHTD, v_BHTD, scale=scale)

    def splash(
        self, q_BHTD: Tensor, k_BGTD: Tensor, v_BGTD: Tensor, *, window: int, segments_BT: Tensor | None
    ) -> Tensor:
        self.calls.append((f"splash {window}", tuple(q_BHTD.shape), tuple(k_BGTD.shape)))
        return self.inner.splash(q_BHTD, k_BGTD, v_BGTD, window=window, segments_BT=segments_BT)


class TestInterpreted(AttentionLaws):
    backend = "pallas"

    @classmethod
    def subject(cls) -> Subject:
        return INTERPRETED


@pytest.mark.parametrize(
    "call",
    [
        Call(dtype="bf16", head_dim=32),
        Call(dtype="bf16", head_dim=64, tokens=150, window=20),
        Call(dtype="bf16", head_dim=32, heads=4, tokens=33, segments=3),
    ],
    ids=lambda call: call.case().name,
)
def test_bf16(call: Call) -> None:
    for check in (check_output, check_gradients):
        check(INTERPRETED, call.case())


@pytest.mark.parametrize(
    "shape, keys, groups, window, kernel, padded_q",
    [
        ((1, 17, 2, 32), 17, 2, -1, "flash", (1, 2, 128, 32)),
        ((1, 17, 2, 32), 17, 2, 16, "flash", (1, 2, 128, 32)),
        ((1, 17, 2, 32), 17, 2, 15, "splash 15", (1, 2, 128, 32)),
        ((1, 17, 2, 32), 17, 1, -1, "splash -1", (1, 2, 128, 32)),
        ((1, 120, 2, 160), 130, 2, -1, "flash", (1, 2, 256, 256)),
    ],
)
def test_kernel_for(
    shape: tuple[int, ...], keys: int, groups: int, window: int, kernel: str, padded_q: Sequence[int]
) -> None:
    kernels = Watched(Interpreted())
    q = torch.randn(shape)
    k = torch.randn(shape[0], keys, groups, shape[3])
    output = PallasAttention(kernels=kernels).attend(q, k, k, mask=Mask(window=window))
    assert output.shape == q.shape
    assert [call[:2] for call in kernels.calls] == [(kernel, tuple(padded_q))]


def test_lengths_are_those_that_flash_serves_in_backward() -> None:
    lengths = {tokens: legal_length(tokens) for tokens in (1, 128, 129, 257, 384, 513, 1024, 1025, 1536, 3072)}
    assert list(lengths.values()) == [128, 128, 256, 512, 512, 1024, 1024, 2048, 2048, 3072]
    assert [legal_head_dim(size) for size in (32, 96, 128, 160, 256)] == [32, 96, 128, 256, 256]


def test_limits_are_named_before_a_launch() -> None:
    kernels = Watched(Interpreted())
    attention = PallasAttention(kernels=kernels)

    def attend(mask: Mask, head_dim: int = 32, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Tensor:
        x = torch.zeros(1, 4, 2, head_dim, device=device, dtype=dtype)
        return attention.attend(x, x, x, mask=mask)

    with pytest.raises(ContractError, match="head size 48 is not served; it serves multiples of 32 from 32 to 256"):
        attend(Mask(), head_dim=48)
    with pytest.raises(ContractError, match="causal=False is not served"):
        attend(Mask(causal=False))
    with pytest.raises(ContractError, match="on meta; it serves cpu"):
        attend(Mask(), device="meta")
    with pytest.raises(ContractError, match="float16 is not served; it serves bf16, fp32"):
        attend(Mask(), dtype=torch.float16)
    x = torch.zeros(1, 4, 2, 32)
    cache = LayerCache(x, x, torch.zeros(1, dtype=torch.int32), 0, True)
    with pytest.raises(ContractError, match="cached call is not served"):
        attention.attend_cached(x, x, x, cache, mask=Mask())
    assert kernels.calls == []
