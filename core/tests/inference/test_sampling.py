from __future__ import annotations

import pytest
import torch

from nanoplug.errors import ContractError
from nanoplug.inference.sampling import sample


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def draws(logits_V: torch.Tensor, count: int, **options: float | int | None) -> torch.Tensor:
    """Relative frequency of each id over `count` draws from one generator."""
    shared = generators(0) * count
    ids = sample(logits_V.expand(count, -1), generators=shared, **options)  # type: ignore[arg-type]
    return torch.bincount(ids, minlength=len(logits_V)) / count


def test_temperature_zero_is_argmax_and_needs_no_generator() -> None:
    logits_BV = torch.tensor([[0.0, 3.0, 1.0], [5.0, 1.0, 4.0]])
    assert sample(logits_BV, temperature=0).tolist() == [1, 0]


def test_frequencies_are_the_softmax() -> None:
    logits_V = torch.tensor([0.0, 1.0, 2.0, -1.0])
    for temperature in (0.5, 1.0, 2.0):
        expected = (logits_V / temperature).softmax(0)
        assert (draws(logits_V, 20_000, temperature=temperature) - expected).abs().max() < 0.015


def test_top_k_keeps_exactly_k_even_among_equals() -> None:
    equal_V = torch.zeros(10)
    assert (draws(equal_V, 2_000, top_k=3) > 0).sum() == 3
    logits_V = torch.tensor([0.0, 2.0, 1.0, 3.0])
    seen = draws(logits_V, 4_000, top_k=2)
    assert seen[[0, 2]].tolist() == [0, 0]
    assert abs(float(seen[3]) - float(torch.tensor([2.0, 3.0]).softmax(0)[1])) < 0.03


def test_top_k_beyond_the_vocabulary_and_off() -> None:
    logits_V = torch.zeros(4)
    for top_k in (None, 0, 4, 99):
        assert (draws(logits_V, 2_000, top_k=top_k) > 0).all()


def test_a_row_depends_on_its_own_generator_alone() -> None:
    logits_BV = torch.randn(3, 50, generator=generators(9)[0])
    together = sample(logits_BV, generators=generators(1, 2, 3))
    alone = [int(sample(logits_BV[row : row + 1], generators=generators(row + 1))) for row in range(3)]
    assert together.tolist() == alone


def test_half_precision_and_extreme_temperatures_stay_in_range() -> None:
    logits_BV = torch.tensor([[15.0, -15.0, 14.0]], dtype=torch.bfloat16)
    assert sample(logits_BV, temperature=1e-38, generators=generators(0)).item() == 0
    assert 0 <= sample(logits_BV, temperature=1e30, generators=generators(0)).item() < 3


def test_arguments_out_of_range() -> None:
    logits_BV = torch.zeros(2, 3)
    with pytest.raises(ContractError, match="temperature is -1"):
        sample(logits_BV, temperature=-1)
    with pytest.raises(ContractError, match="temperature is nan"):
        sample(logits_BV, temperature=float("nan"))
    with pytest.raises(ContractError, match="top_k is -2"):
        sample(logits_BV, top_k=-2)
    with pytest.raises(ContractError, match="1 generators for 2 rows"):
        sample(logits_BV, generators=generators(0))
