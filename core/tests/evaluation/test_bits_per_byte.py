from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from attrs import frozen
from torch import Tensor, nn

from nanoplug.errors import ContractError
from nanoplug.evaluation.bits_per_byte import bits_per_byte

TOKEN_BYTES = [1, 2, 3, 0, 5]  # id 3 is a special token


@frozen
class Batch:
    inputs_BT: Tensor
    targets_BT: Tensor
    segments_BT: Tensor | None = None


class Device:
    """One rank of `ranks` that all hold the same numbers."""

    torch_device = torch.device("cpu")

    def __init__(self, ranks: int = 1) -> None:
        self.ranks = ranks
        self.sums: list[torch.dtype] = []

    def put(self, tensor: Tensor) -> Tensor:
        return tensor.clone()

    def step(self) -> Any:
        return nullcontext()

    def sum_over_ranks(self, tensor: Tensor) -> Tensor:
        self.sums.append(tensor.dtype)
        return tensor * self.ranks


class Model(nn.Module):
    """Loss of a target: 0.5 nats more than its id; checks how it is called."""

    def __init__(self, *, flat: bool = False) -> None:
        super().__init__()
        self.flat = flat
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, inputs: Tensor, targets: Tensor, segments: Tensor | None, *, reduction: str) -> Tensor:
        assert reduction == "none"
        assert not self.training
        assert not torch.is_grad_enabled()
        # Rubbish at ignored targets must not leak into the sum.
        loss = torch.where(targets < 0, torch.nan, targets + 0.5).float() + self.weight
        return loss.flatten() if self.flat else loss


def batch(*rows: list[int]) -> Batch:
    targets = torch.tensor(rows)
    return Batch(torch.zeros_like(targets), targets)


@pytest.mark.parametrize("flat", [False, True])
def test_counts_what_has_bytes_and_nothing_else(flat: bool) -> None:
    batches = [batch([0, 1, -1], [3, 4, -1]), batch([2, 2, 3], [-1, -1, -1])]
    result = bits_per_byte(Model(flat=flat), batches, TOKEN_BYTES, Device())  # type: ignore[arg-type]
    assert result.tokens == 5
    assert result.bytes == 1 + 2 + 5 + 3 + 3
    assert result.nats == pytest.approx(0.5 + 1.5 + 4.5 + 2.5 + 2.5)
    assert result.bpb == pytest.approx(result.nats / (math.log(2) * 14))


def test_sums_are_exact_where_fp32_would_not_be() -> None:
    rows = [[0] * 4096] * 16
    batches = [batch(*rows) for _ in range(20)]

    class Constant(Model):
        def forward(self, inputs: Tensor, targets: Tensor, segments: Tensor | None, *, reduction: str) -> Tensor:
            return torch.full(targets.shape, 0.1)

    result = bits_per_byte(Constant(), batches, TOKEN_BYTES, Device())  # type: ignore[arg-type]
    assert result.tokens == 20 * 16 * 4096
    assert result.nats == pytest.approx(result.tokens * float(torch.tensor(0.1)), rel=1e-12)


def test_ranks_are_summed_once_in_wide_types() -> None:
    device = Device(ranks=3)
    one = bits_per_byte(Model(), [batch([0, 1])], TOKEN_BYTES, Device())  # type: ignore[arg-type]
    three = bits_per_byte(Model(), [batch([0, 1])] * 2, TOKEN_BYTES, device)  # type: ignore[arg-type]
    assert device.sums == [torch.float64, torch.int64]
    assert (three.nats, three.bytes, three.tokens) == (6 * one.nats, 6 * one.bytes, 6 * one.tokens)
    assert three.bpb == pytest.approx(one.bpb)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_restored_also_after_an_error(training: bool) -> None:
    model = Model().train(training)
    bits_per_byte(model, [batch([0])], TOKEN_BYTES, Device())  # type: ignore[arg-type]
    assert model.training is training
    with pytest.raises(IndexError):
        bits_per_byte(model, [batch([5])], TOKEN_BYTES, Device())  # type: ignore[arg-type]
    assert model.training is training


def test_segments_reach_the_model() -> None:
    seen: list[Tensor | None] = []

    class Watching(Model):
        def forward(self, inputs: Tensor, targets: Tensor, segments: Tensor | None, *, reduction: str) -> Tensor:
            seen.append(segments)
            return super().forward(inputs, targets, segments, reduction=reduction)

    plain = batch([0, 1])
    batches = [plain, Batch(plain.inputs_BT, plain.targets_BT, torch.tensor([[0, 1]]))]
    bits_per_byte(Watching(), batches, TOKEN_BYTES, Device())  # type: ignore[arg-type]
    assert seen[0] is None
    assert seen[1] is not None
    assert seen[1].tolist() == [[0, 1]]


def test_no_bytes_is_infinity() -> None:
    for batches in ([], [batch([3, -1])]):
        result = bits_per_byte(Model(), batches, TOKEN_BYTES, Device())  # type: ignore[arg-type]
        assert (result.bpb, result.nats, result.bytes, result.tokens) == (math.inf, 0.0, 0, 0)


def test_losses_must_be_per_token() -> None:
    class Mean(Model):
        def forward(self, inputs: Tensor, targets: Tensor, segments: Tensor | None, *, reduction: str) -> Tensor:
            return torch.zeros(())

    with pytest.raises(ContractError, match="1 losses for 2 targets"):
        bits_per_byte(Mean(), [batch([0, 1])], TOKEN_BYTES, Device())  # type: ignore[arg-type]
    with pytest.raises(ContractError, match="2 axes"):
        bits_per_byte(Model(), [], [[1], [2]], Device())  # type: ignore[arg-type, list-item]
