from __future__ import annotations

import pytest

from nanoplug.optim.schedules import lr_factor, muon_momentum, weight_decay_factor


def _factors(total: int, warmup: float, warmdown: float, final: float) -> list[float]:
    return [
        lr_factor(step, total, warmup_ratio=warmup, warmdown_ratio=warmdown, final_lr_frac=final)
        for step in range(total + 1)
    ]


def test_default_falls_over_the_last_two_fifths() -> None:
    assert _factors(10, 0.0, 0.4, 0.0) == pytest.approx([1, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0])


def test_rise_and_fall_to_a_share() -> None:
    assert _factors(10, 0.2, 0.2, 0.1) == pytest.approx([0.5, 1, 1, 1, 1, 1, 1, 1, 1, 0.55, 0.1])


@pytest.mark.parametrize(
    "ratios, expected",
    [
        ((0.0, 0.0, 0.0), [1, 1, 1]),
        ((1.0, 0.0, 0.0), [0.5, 1, 1]),
        ((0.0, 1.0, 0.0), [1, 0.5, 0]),
        ((0.5, 0.5, 0.5), [1, 1, 0.5]),
    ],
)
def test_edges_of_the_ratios(ratios: tuple[float, float, float], expected: list[float]) -> None:
    assert _factors(2, *ratios) == pytest.approx(expected)


def test_a_single_step_is_a_full_step() -> None:
    assert _factors(1, 0.0, 0.4, 0.0)[0] == 1


def test_momentum() -> None:
    assert muon_momentum(0) == pytest.approx(0.85)
    assert muon_momentum(150) == pytest.approx(0.90)
    assert muon_momentum(300) == muon_momentum(10_000) == pytest.approx(0.95)


def test_weight_decay_falls_to_nothing() -> None:
    assert [weight_decay_factor(step, 4) for step in range(5)] == pytest.approx([1, 0.75, 0.5, 0.25, 0])
