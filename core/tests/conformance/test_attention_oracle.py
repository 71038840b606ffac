"""The oracle against worked examples and against an independent implementation."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from nanoplug.conformance.attention_oracle import attend_exactly, attend_plainly, rows_after_writing, visible
from nanoplug.contracts import LayerCache, Mask


def test_who_sees_whom_by_hand() -> None:
    window_of_one = [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    assert visible(Mask(window=1), 1, 4, 4)[0].int().tolist() == window_of_one
    assert visible(Mask(), 1, 2, 4)[0].int().tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert visible(Mask(causal=False), 1, 1, 3)[0].int().tolist() == [[1, 1, 1]]
    segments_BT = torch.tensor([[0, 0, 1]])
    assert visible(Mask(segments_BT=segments_BT), 1, 3, 3)[0].int().tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize("mask", [Mask(), Mask(causal=False), Mask(window=3)], ids=str)
def test_against_torch_in_fp64(mask: Mask) -> None:
    q = torch.randn(2, 9, 6, 8, dtype=torch.float64)
    k, v = torch.randn(2, 2, 9, 2, 8, dtype=torch.float64)
    qh, kh, vh = (x.repeat_interleave(6 // x.shape[2], 2).transpose(1, 2) for x in (q, k, v))
    want = F.scaled_dot_product_attention(qh, kh, vh, attn_mask=visible(mask, 2, 9, 9)[:, None]).transpose(1, 2)
    torch.testing.assert_close(attend_exactly(q, k, v, mask), want)


def test_the_plain_operation_loses_what_its_dtype_loses() -> None:
    q, k, v = torch.randn(3, 2, 33, 2, 16).bfloat16()
    error = (attend_plainly(q, k, v, Mask()).double() - attend_exactly(q, k, v, Mask())).abs().max()
    assert 1e-4 < error < 2e-2


def test_rows_read_what_they_hold_and_then_what_is_new() -> None:
    held = torch.arange(2 * 4, dtype=torch.float32).reshape(2, 4, 1, 1)
    cache = LayerCache(held, held, torch.tensor([3, 1], dtype=torch.int32), 3, False)
    new = torch.tensor([[-1.0], [-2.0]]).reshape(2, 1, 1, 1)
    rows = rows_after_writing(new, new, cache)
    assert [k.flatten().tolist() for k, _ in rows] == [[0, 1, 2, -1], [4, -2]]
