"""Targets outside the vocabulary are found when somebody looks."""

from __future__ import annotations

import pytest
import torch

from nanoplug.conformance.kernel_right import Right
from nanoplug.conformance.targets import CheckedKernel, check_targets, checked
from nanoplug.errors import ContractError


@pytest.mark.parametrize("bad", [5, 99, -2, -100])
def test_a_bad_target_is_named_with_its_row(bad: int) -> None:
    with pytest.raises(ContractError, match=rf"acme: target {bad} in row 2 is outside the vocabulary of 5"):
        check_targets("acme", torch.tensor([0, 4, bad, -1]), 5, -1)


def test_ignore_index_is_no_bad_target() -> None:
    check_targets("acme", torch.tensor([0, 4, -100]), 5, -100)
    check_targets("acme", torch.tensor([], dtype=torch.int64), 5, -1)


def test_a_checked_kernel_answers_as_the_kernel_does() -> None:
    kernel, hidden, weight, targets = Right(), torch.randn(3, 4), torch.randn(5, 4), torch.tensor([0, -1, 4])
    guard = checked(kernel, "acme")
    want = kernel.linear_cross_entropy(hidden, weight, targets, softcap=3.0, reduction="sum")
    assert torch.equal(guard.linear_cross_entropy(hidden, weight, targets, softcap=3.0, reduction="sum"), want)
    assert torch.equal(
        guard.cross_entropy(hidden, targets.clamp(max=3)), kernel.cross_entropy(hidden, targets.clamp(max=3))
    )
    assert torch.equal(guard.rms_norm(hidden, eps=1e-6), kernel.rms_norm(hidden, eps=1e-6))
    tables = torch.ones(1, 1, 2), torch.zeros(1, 1, 2)
    assert torch.equal(guard.rotary(torch.ones(1, 1, 1, 4), *tables), torch.ones(1, 1, 1, 4))
    with pytest.raises(ContractError, match="acme: target 4 in row 2"):
        guard.cross_entropy(hidden, targets)


def test_checked_once_is_enough() -> None:
    guard = checked(Right())
    assert isinstance(guard, CheckedKernel)
    assert checked(guard) is guard
