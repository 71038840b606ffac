"""What the laws do not say about this kernel: its option, its operators, and memory by chunk."""

from __future__ import annotations

import pytest
import torch
from nanoplug_kernel_chunked import chunks
from nanoplug_kernel_chunked.kernel import ChunkedKernel

from nanoplug.conformance.watch import peak_bytes
from nanoplug.contracts import Reduction
from nanoplug.errors import ConfigError

HIDDEN = torch.randn(4000, 8, requires_grad=True)
WEIGHT = torch.randn(500, 8, requires_grad=True)
TARGETS = torch.randint(0, 500, (4000,))


def _bytes(chunk_rows: int, reduction: Reduction) -> int:
    def step() -> object:
        loss = ChunkedKernel(chunk_rows).linear_cross_entropy(
            HIDDEN, WEIGHT, TARGETS, softcap=15.0, reduction=reduction
        )
        return torch.autograd.grad(loss.sum(), (HIDDEN, WEIGHT))

    return peak_bytes(step, "cpu")


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_memory_follows_the_chunk(reduction: Reduction) -> None:
    chunk = 100 * 500 * 4
    assert _bytes(100, reduction) < 4 * chunk + 1_000_000
    assert _bytes(4000, reduction) > 30 * _bytes(100, reduction) // 5


def test_the_loss_without_gradients_keeps_nothing() -> None:
    with torch.no_grad():
        loss = ChunkedKernel(100).linear_cross_entropy(HIDDEN, WEIGHT, TARGETS)
    assert not loss.requires_grad


@pytest.mark.parametrize("chunk_rows", [0, -1, 1.5, True, "many"])
def test_chunk_rows_must_be_a_positive_whole_number(chunk_rows: object) -> None:
    with pytest.raises(ConfigError, match="chunk_rows is"):
        ChunkedKernel(chunk_rows)  # type: ignore[arg-type]


def test_operators_are_registered_as_torch_expects() -> None:
    plan = (15.0, -1, 13, False)
    hidden, weight, targets = HIDDEN[:33].detach(), WEIGHT.detach(), TARGETS[:33]
    tests = ("test_schema", "test_faketensor")
    torch.library.opcheck(chunks.each_row, (hidden, weight, targets, *plan), test_utils=tests)
    torch.library.opcheck(chunks.total_and_gradients, (hidden, weight, targets, *plan), test_utils=tests)
    torch.library.opcheck(chunks.each_row_gradients, (torch.ones(33), hidden, weight, targets, *plan), test_utils=tests)
