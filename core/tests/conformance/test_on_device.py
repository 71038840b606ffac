"""The exact operations in chunks are those of the oracle, whatever the chunk."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nanoplug.conformance import on_device
from nanoplug.conformance.attention_oracle import attend_exactly
from nanoplug.conformance.kernel_oracle import exact_logits, loss_rows, reduce_rows
from nanoplug.conformance.measure import normal
from nanoplug.conformance.on_device import attention_exactly, loss_exactly, relative_error
from nanoplug.contracts import Mask

SEGMENTS = (torch.arange(24) * 3 // 24).expand(2, -1)


@pytest.fixture(params=[1, 5000, 2**28], ids=["row by row", "some rows", "at once"])
def _chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_device, "_CHUNK_BYTES", request.param)


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize(
    "mask",
    [Mask(), Mask(window=0), Mask(window=5), Mask(segments_BT=SEGMENTS), Mask(window=4, segments_BT=SEGMENTS)],
    ids=["causal", "itself", "window", "segments", "window and segments"],
)
def test_attention(mask: Mask) -> None:
    leaves = [normal(seed, 2, 24, heads, 8).double().requires_grad_() for seed, heads in enumerate((4, 2, 2))]
    upstream = normal(9, 2, 24, 4, 8).double()
    q, k, v = leaves
    output = attend_exactly(q, k, v, mask)
    want = [output, *torch.autograd.grad(output, leaves, upstream)]
    got = attention_exactly(q, k, v, mask, upstream)
    for mine, exact in zip(got, want, strict=True):
        torch.testing.assert_close(mine, exact, rtol=1e-12, atol=1e-12)
    (forward,) = attention_exactly(q, k, v, mask)
    torch.testing.assert_close(forward, output, rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize("softcap", [None, 5.0])
def test_loss(softcap: float | None) -> None:
    hidden, weight = (normal(seed, size, 8).double().requires_grad_() for seed, size in enumerate((30, 50)))
    targets = torch.randint(50, (30,), generator=torch.Generator().manual_seed(1))
    targets[::4] = -1
    loss = reduce_rows(loss_rows(exact_logits(hidden, weight), targets, softcap, -1), targets, -1, "mean")
    want = [loss, *torch.autograd.grad(loss, (hidden, weight))]
    got = loss_exactly(hidden, weight, targets, softcap=softcap)
    for mine, exact in zip(got, want, strict=True):
        torch.testing.assert_close(mine, exact, rtol=1e-12, atol=1e-14)


def test_without_targets_all_is_zero() -> None:
    loss, dhidden, dweight = loss_exactly(torch.ones(3, 2), torch.ones(5, 2), torch.full((3,), -1), softcap=None)
    assert not any(x.any() for x in (loss, dhidden, dweight))


def test_rounding_is_that_of_the_dtype() -> None:
    q, k, v = (normal(seed, 1, 16, 2, 8).bfloat16() for seed in range(3))
    (exact,) = attention_exactly(q, k, v, Mask(), dtype=torch.float32)
    (plain,) = attention_exactly(q, k, v, Mask(), dtype=torch.float32, rounded=torch.bfloat16)
    assert torch.equal(plain, plain.bfloat16().float())
    assert 1e-4 < relative_error(plain, exact) < 2e-2


def test_relative_error() -> None:
    want = torch.tensor([3.0, 4.0], dtype=torch.float64)
    assert relative_error(torch.tensor([3.0, 4.5]), want) == pytest.approx(0.1)
    assert relative_error(torch.tensor([3.0, torch.nan]), want) == float("inf")
    nothing: Tensor = torch.zeros(2)
    assert relative_error(nothing, nothing) == 0.0
