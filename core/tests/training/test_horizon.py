"""From a configuration to whole numbers."""

from __future__ import annotations

from typing import Any

import pytest

from nanoplug.config import load_config
from nanoplug.errors import ConfigError
from nanoplug.training.horizon import Plan, accumulation, head_count, make_plan, model_config

BATCH = {"device_batch_size": 4, "sequence_len": 16, "total_batch_size": 128}


def plan(flops_per_token: int = 1000, n_params: int = 10_000, world_size: int = 1, **flags: Any) -> Plan:
    config = load_config({}, {**BATCH, **flags}).config
    return make_plan(config, world_size=world_size, flops_per_token=flops_per_token, n_params=n_params)


@pytest.mark.parametrize(
    ("width", "head_dim", "count"),
    [(1280, 128, 10), (768, 128, 6), (256, 64, 4), (64, 128, 1), (640, 100, 5), (70, 10, 7), (100, 16, 5), (84, 18, 6)],
)
def test_head_count_is_the_nearest_that_divides(width: int, head_dim: int, count: int) -> None:
    assert head_count(width, head_dim) == count
    ideal = max(1, round(width / head_dim))
    nearer = [n for n in range(1, width + 1) if width % n == 0 and abs(n - ideal) < abs(count - ideal)]
    assert nearer == []


def test_of_two_equally_near_the_larger_head_count_wins() -> None:
    # 24 / 5 rounds to 5, which does not divide 24; 4 and 6 both do.
    assert head_count(24, 5) == 6


def test_model_shape() -> None:
    config = load_config({}, {"depth": 3, "aspect_ratio": 32, "head_dim": 16, "kv_heads": 2}).config
    shape = model_config(config, vocab_size=100)
    assert (shape.n_layer, shape.n_embd, shape.n_head, shape.n_kv_head, shape.vocab_size) == (3, 96, 6, 2, 100)
    shared = model_config(load_config({}, {"depth": 2, "head_dim": 64}).config, vocab_size=100)
    assert shared.n_kv_head == shared.n_head == 2


def test_accumulation() -> None:
    config = load_config({}, BATCH).config
    assert accumulation(config, world_size=1) == 2
    assert accumulation(config, world_size=2) == 1


@pytest.mark.parametrize(
    ("total", "world_size", "near"), [(100, 1, "64 or 128"), (63, 1, "64"), (128, 3, "192"), (200, 3, "192 or 384")]
)
def test_a_batch_that_does_not_divide_says_which_do(total: int, world_size: int, near: str) -> None:
    config = load_config({}, {**BATCH, "total_batch_size": total}).config
    with pytest.raises(ConfigError) as caught:
        accumulation(config, world_size=world_size)
    assert f"total_batch_size is {total} tokens" in caught.value.message
    assert f"4 x 16 x {world_size} = {64 * world_size}" in caught.value.message
    assert caught.value.todo == f"Set --total-batch-size {near}, or change --device-batch-size."


def test_the_first_positive_horizon_decides() -> None:
    everything = {"steps": 7, "target_flops": 1e6, "target_param_data_ratio": 2.5}
    assert plan(**everything).steps == 7
    assert plan(**{**everything, "steps": -1}).steps == round(1e6 / (1000 * 128))
    # 2.5 * 10,000 / 128 = 195.3: whole steps only.
    assert plan(**{**everything, "steps": 0, "target_flops": -1.0}).steps == 195
    assert plan().steps == 625
    made = plan(**everything)
    assert (made.accumulate, made.tokens_per_step) == (2, 128)


@pytest.mark.parametrize("flags", [{"target_flops": 10.0}, {"target_param_data_ratio": 0.01}])
def test_a_horizon_of_no_steps_is_an_error(flags: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(flags))} gives 0 steps of 128 tokens"):
        plan(**flags)


def test_no_horizon_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no horizon"):
        plan(target_param_data_ratio=0.0)


def due(made: Plan, what: str) -> list[int]:
    return [step for step in range(made.steps + 1) if getattr(made, what)(step)]


def test_when_what_happens() -> None:
    every = {"eval_every": 4, "save_every": 3, "sample_every": 5, "cpp_eval_every": 20}
    made = plan(steps=10, **every)
    assert due(made, "evaluates") == [0, 4, 8, 10]
    assert due(made, "saves") == [3, 6, 9, 10]
    assert due(made, "samples") == [5, 10]
    assert due(made, "runs_cpp") == [10]


def test_minus_one_is_never_but_for_the_last_checkpoint() -> None:
    made = plan(steps=10, eval_every=-1, save_every=-1, sample_every=-1, cpp_eval_every=-1)
    assert due(made, "saves") == [10]
    for what in ("evaluates", "samples", "runs_cpp"):
        assert due(made, what) == []
