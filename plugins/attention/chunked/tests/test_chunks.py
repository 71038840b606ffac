"""What the chunks hold, and which options are refused."""

from __future__ import annotations

import pytest
import torch
from nanoplug_attention_chunked.attention import ChunkedAttention

from nanoplug.conformance.watch import peak_bytes
from nanoplug.contracts import Mask
from nanoplug.errors import ConfigError

HEAD_DIM = 16


def inputs(tokens: int, keys: int = 0, *, requires_grad: bool = False) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(1, tokens, 4, HEAD_DIM)] + [(1, keys or tokens, 2, HEAD_DIM)] * 2
    return [torch.randn(shape, generator=generator).requires_grad_(requires_grad) for shape in shapes]


def test_autograd_keeps_nothing_but_the_inputs() -> None:
    """The trap: a loop that autograd sees keeps the weights of every chunk."""
    leaves = inputs(128, requires_grad=True)
    kept: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        ChunkedAttention(chunk_rows=16).attend(*leaves, mask=Mask(window=8))
    assert sum(x.numel() for x in kept) == sum(x.numel() for x in leaves)


def test_peak_memory_falls_with_the_chunk_forward_and_backward() -> None:
    leaves = inputs(1024, requires_grad=True)

    def peak(chunk_rows: int) -> int:
        backend = ChunkedAttention(chunk_rows=chunk_rows)
        return peak_bytes(lambda: backend.attend(*leaves, mask=Mask()).sum().backward(), "cpu")

    assert peak(32) < peak(1024) / 10


def test_a_window_reads_only_its_own_keys() -> None:
    """However many keys there are, a chunk takes scores for its rows plus the window."""
    backend = ChunkedAttention(chunk_rows=32)

    def peak(keys: int) -> int:
        q, k, v = inputs(32, keys)
        return peak_bytes(lambda: backend.attend(q, k, v, mask=Mask(window=32)), "cpu")

    assert peak(8192) <= peak(64) * 1.1


@pytest.mark.parametrize("chunk_rows", [1, 7, 16, 64, 1000])
@pytest.mark.parametrize("window", [0, 8, 15, 16, 17])
def test_windows_as_long_as_the_chunk_are_exact(chunk_rows: int, window: int) -> None:
    """The trap: one first key for all rows of a chunk, which is wrong exactly where window and chunk are alike."""
    q, k, v = inputs(64)
    mask = Mask(window=window)
    whole = ChunkedAttention(chunk_rows=64).attend(q, k, v, mask=mask)
    distance_TS = torch.arange(64)[:, None] - torch.arange(64)
    want = torch.nn.functional.scaled_dot_product_attention(
        *(x.transpose(1, 2) for x in (q, k, v)),
        attn_mask=(distance_TS >= 0) & (distance_TS <= window),
        enable_gqa=True,
    ).transpose(1, 2)
    torch.testing.assert_close(ChunkedAttention(chunk_rows=chunk_rows).attend(q, k, v, mask=mask), want)
    torch.testing.assert_close(whole, want)


@pytest.mark.parametrize("chunk_rows", [0, -4, True, 2.5])
def test_a_chunk_of_no_rows_is_refused(chunk_rows: object) -> None:
    with pytest.raises(ConfigError, match="chunk_rows"):
        ChunkedAttention(chunk_rows=chunk_rows)  # type: ignore[arg-type]
