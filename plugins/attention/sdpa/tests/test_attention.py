"""What the laws do not say about this backend: its option, its memory by path, and which kernel it takes."""

from __future__ import annotations

import pytest
import torch
from nanoplug_attention_sdpa.attention import SdpaAttention
from torch import Tensor

from nanoplug.conformance.watch import peak_bytes
from nanoplug.contracts import Mask
from nanoplug.errors import ConfigError, ContractError


def _inputs(tokens: int, heads: int = 2, groups: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    q = torch.randn(1, tokens, heads, 16, requires_grad=True)
    k, v = (torch.randn(1, tokens, groups, 16, requires_grad=True) for _ in range(2))
    return q, k, v


def _bytes(tokens: int, mask: Mask, heads: int = 2) -> int:
    inputs = _inputs(tokens, heads)

    def step() -> object:
        output = SdpaAttention().attend(*inputs, mask=mask)
        return torch.autograd.grad(output, inputs, torch.ones_like(output))

    return peak_bytes(step, "cpu")


@pytest.mark.parametrize("mask", [Mask(), Mask(window=32)], ids=["causal", "window"])
@pytest.mark.parametrize("heads", [2, 4])
def test_memory_is_linear_in_the_length(mask: Mask, heads: int) -> None:
    assert _bytes(4096, mask, heads) < 5 * _bytes(1024, mask, heads)


def test_segments_with_a_window_are_linear_and_without_one_are_not() -> None:
    def ratio(window: int) -> float:
        def at(tokens: int) -> int:
            return _bytes(tokens, Mask(window=window, segments_BT=(torch.arange(tokens) // 100)[None]))

        return at(4096) / at(1024)

    assert ratio(32) < 5
    assert ratio(-1) > 8


def test_a_window_that_hides_nothing_is_the_plain_call() -> None:
    q, k, v = _inputs(33, heads=4)
    attention = SdpaAttention()
    assert torch.equal(attention.attend(q, k, v, mask=Mask(window=32)), attention.attend(q, k, v, mask=Mask()))


def test_key_heads_are_never_repeated() -> None:
    q, k, v = _inputs(256, heads=16, groups=1)
    seen = (torch.arange(256) // 100)[None]
    with torch.profiler.profile(record_shapes=True) as profiled:
        for mask in (Mask(), Mask(window=32), Mask(segments_BT=seen), Mask(causal=False)):
            SdpaAttention().attend(q, k, v, mask=mask)
    assert not [event for event in profiled.events() if "repeat" in event.name]


def test_math_may_be_required() -> None:
    q, k, v = _inputs(9)
    torch.testing.assert_close(
        SdpaAttention(backend="math").attend(q, k, v, mask=Mask()), SdpaAttention().attend(q, k, v, mask=Mask())
    )


def test_options_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'cudnn'"):
        SdpaAttention(backend="cudn")
    with pytest.raises(ContractError, match="backend 'cudnn' needs a CUDA tensor"):
        SdpaAttention(backend="cudnn").attend(*_inputs(4), mask=Mask())
