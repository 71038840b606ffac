"""The oracle against torch in fp64 and against worked examples."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from nanoplug.conformance.kernel_oracle import (
    exact_logits,
    loss_rows,
    plain_logits,
    reduce_rows,
    rms_norm_exactly,
    rotary_exactly,
)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_against_torch_in_fp64(reduction: str) -> None:
    logits_NV = torch.randn(9, 7, dtype=torch.float64) * 4
    targets_N = torch.tensor([0, 1, -1, 3, 4, 5, 6, -1, 2])
    got = reduce_rows(loss_rows(logits_NV, targets_N, 3.0, -1), targets_N, -1, reduction)
    want = F.cross_entropy(3 * torch.tanh(logits_NV / 3), targets_N, ignore_index=-1, reduction=reduction)
    torch.testing.assert_close(got, want)


def test_no_target_at_all_gives_zero() -> None:
    targets_N = torch.full((3,), -1)
    rows_N = loss_rows(torch.randn(3, 5), targets_N, None, -1)
    assert reduce_rows(rows_N, targets_N, -1, "mean") == 0


def test_plain_logits_are_rounded_once() -> None:
    hidden, weight = torch.randn(4, 16).bfloat16(), torch.randn(6, 16).bfloat16()
    exact = exact_logits(hidden, weight)
    torch.testing.assert_close(plain_logits(hidden, weight).double(), exact, rtol=2**-8, atol=1e-5)
    assert torch.equal(plain_logits(hidden, weight), plain_logits(hidden, weight).bfloat16().float())


def test_rms_norm_by_hand() -> None:
    got = rms_norm_exactly(torch.tensor([[3.0, 4.0]]), eps=0.5)
    assert got[0].tolist() == pytest.approx([3 / math.sqrt(13), 4 / math.sqrt(13)])


def test_rotary_by_hand_turns_the_halves() -> None:
    x_BTHD = torch.tensor([1.0, 10.0, 2.0, 20.0]).reshape(1, 1, 1, 4)
    quarter = torch.zeros(1, 1, 2), torch.ones(1, 1, 2)
    assert rotary_exactly(x_BTHD, *quarter).flatten().tolist() == [2, 20, -1, -10]
