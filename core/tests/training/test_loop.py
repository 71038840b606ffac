"""The loop's order of events, and what it hands to each of them."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from nanoplug.config import CadenceConfig
from nanoplug.contracts import Device
from nanoplug.data.loader import Batch
from nanoplug.data.packing import PackingCounts
from nanoplug.errors import ContractError
from nanoplug.optim.optimizers import Optimizers
from nanoplug.training.horizon import Plan
from nanoplug.training.loop import Hooks, train
from nanoplug.training.metrics import Metrics, read_rows


def at(**state: int) -> Any:
    """Stands for where a loader is."""
    return SimpleNamespace(to_json=lambda: state)


class Batches:
    """Batch n holds the numbers n, and its state is n."""

    def __init__(self, start: int = 0, rows: int = 2, segments: bool = False) -> None:
        self.number, self.rows, self.segments = start, rows, segments

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        self.number += 1
        ids_BT = torch.full((self.rows, 3), self.number)
        segments_BT = ids_BT.int() if self.segments else None
        return Batch(ids_BT, ids_BT + 1, segments_BT, at(after=self.number), epoch=0, packing=PackingCounts())


class World:
    """One weight, and a list of all that happened."""

    def __init__(self) -> None:
        self.happened: list[Any] = []
        self.weight = torch.nn.Parameter(torch.tensor(1.0))
        self.gradients: list[float] = []
        self.optimizer = SimpleNamespace(
            parameters=[self.weight], lr_factor=1.0, set_step=self.set_step, step=self.step, zero_grad=self.zero_grad
        )
        self.device = SimpleNamespace(
            torch_device=torch.device("cpu"),
            world_size=1,
            put=lambda tensor: tensor.clone(),
            step=contextlib.nullcontext,
            reduce_gradients=lambda parameters: self.happened.append(("reduce", len(parameters))),
            sum_over_ranks=lambda tensor: tensor,
        )

    def loss_of(self, inputs_BT: Tensor, targets_BT: Tensor, segments_BT: Tensor | None) -> Tensor:
        assert bool((targets_BT == inputs_BT + 1).all())
        self.happened.append(("loss", int(inputs_BT[0, 0]), segments_BT is not None))
        return self.weight * inputs_BT.float().mean()

    def set_step(self, step: int, steps: int) -> None:
        self.happened.append(("set", step, steps))

    def step(self) -> None:
        assert self.weight.grad is not None
        self.gradients.append(float(self.weight.grad))
        self.happened.append("step")

    def zero_grad(self) -> None:
        self.weight.grad = None

    def run(
        self,
        path: Path,
        *,
        steps: int,
        accumulate: int = 1,
        batches: Batches | None = None,
        hooks: Hooks | None = None,
        start_step: int = 0,
        check_targets_below: int | None = None,
        **cadence: int,
    ) -> list[dict[str, Any]]:
        every = {"eval_every": -1, "save_every": -1, "sample_every": -1, "cpp_eval_every": -1, **cadence}
        plan = Plan(
            steps=steps, accumulate=accumulate, tokens_per_step=6, eval_tokens=1, cadence=CadenceConfig(**every)
        )
        metrics = Metrics(path / "metrics.jsonl", tokens_per_step=6)
        train(
            self.loss_of,
            batches or Batches(),
            cast(Optimizers, self.optimizer),
            cast(Device, self.device),
            metrics,
            plan,
            hooks or self.hooks(),
            start_step=start_step,
            check_targets_below=check_targets_below,
        )
        metrics.close()
        return read_rows(metrics.path) if metrics.path.is_file() else []

    def hooks(self) -> Hooks:
        def told(what: str) -> Any:
            return lambda step, *state: self.happened.append((what, step, *state))

        return Hooks(save=told("save"), evaluate=told("evaluate"), sample=told("sample"), cpp=told("cpp"))


@pytest.fixture
def world() -> World:
    return World()


def only(world: World, *names: str) -> list[Any]:
    return [event for event in world.happened if event[0] in names]


def test_one_step_in_order(world: World, tmp_path: Path) -> None:
    rows = world.run(tmp_path, steps=1, accumulate=2)
    assert world.happened == [
        ("set", 0, 1),
        ("loss", 1, False),
        ("loss", 2, False),
        ("reduce", 1),
        "step",
        ("save", 1, {"after": 2}),
    ]
    assert world.gradients == [1.5]
    assert world.weight.grad is None
    assert [(row["step"], row["loss"]) for row in rows] == [(0, 1.5)]


def test_a_checkpoint_comes_before_whatever_could_fail(world: World, tmp_path: Path) -> None:
    world.run(tmp_path, steps=4, eval_every=2, save_every=2, sample_every=2, cpp_eval_every=2)
    assert only(world, "save", "evaluate", "sample", "cpp") == [
        ("evaluate", 0),
        ("save", 2, {"after": 2}),
        ("evaluate", 2),
        ("cpp", 2),
        ("sample", 2),
        ("save", 4, {"after": 4}),
        ("evaluate", 4),
        ("cpp", 4),
        ("sample", 4),
    ]


def test_the_state_that_is_saved_leads_to_the_next_batch(world: World, tmp_path: Path) -> None:
    world.run(tmp_path, steps=4, accumulate=3, save_every=2)
    assert only(world, "save") == [("save", 2, {"after": 6}), ("save", 4, {"after": 12})]


def test_going_on_repeats_no_save_and_no_step(world: World, tmp_path: Path) -> None:
    world.run(tmp_path, steps=6, start_step=2, batches=Batches(2), eval_every=2, save_every=2)
    assert only(world, "save", "evaluate") == [
        ("evaluate", 2),
        ("save", 4, {"after": 4}),
        ("evaluate", 4),
        ("save", 6, {"after": 6}),
        ("evaluate", 6),
    ]
    assert [event[1] for event in only(world, "set")] == [2, 3, 4, 5]


def test_at_the_end_already_it_only_looks_again(world: World, tmp_path: Path) -> None:
    rows = world.run(tmp_path, steps=3, start_step=3, eval_every=2, save_every=3, sample_every=2)
    assert world.happened == [("evaluate", 3), ("sample", 3)]
    assert rows == []


def test_hooks_may_be_absent(world: World, tmp_path: Path) -> None:
    hooks = Hooks(save=world.hooks().save, evaluate=world.hooks().evaluate)
    world.run(tmp_path, steps=1, hooks=hooks, sample_every=1, cpp_eval_every=1)
    assert only(world, "sample", "cpp") == []


def test_accumulated_micro_batches_equal_one_large_batch(tmp_path: Path) -> None:
    """Two of 4 rows and one of 8 with the same rows: one gradient, one loss."""
    weights = torch.linspace(-1, 1, 16, dtype=torch.float64)
    inputs_BT = torch.randn(8, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    gradients, losses = [], []
    for accumulate in (1, 2):
        world = World()
        weight = torch.nn.Parameter(weights.clone().view(2, 8))
        world.optimizer.parameters = [weight]
        world.optimizer.step = lambda weight=weight: gradients.append(weight.grad.clone())
        world.loss_of = lambda x, y, s, weight=weight: (x @ weight).logsumexp(-1).mean()  # type: ignore[method-assign]
        parts = inputs_BT.chunk(accumulate)
        rows = world.run(
            tmp_path,
            steps=1,
            accumulate=accumulate,
            batches=iter([Batch(part, part, None, at(), 0, PackingCounts()) for part in parts]),  # type: ignore[arg-type]
        )
        losses.append(rows[0]["loss"])
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-12, atol=1e-14)
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_segments_reach_the_model(world: World, tmp_path: Path) -> None:
    world.run(tmp_path, steps=1, batches=Batches(segments=True))
    assert only(world, "loss") == [("loss", 1, True)]


@pytest.mark.parametrize(("targets", "wrong"), [(5, True), (6, False)])
def test_targets_are_checked_when_asked(world: World, tmp_path: Path, targets: int, wrong: bool) -> None:
    """The targets of batch 4 are 5."""
    if not wrong:
        world.run(tmp_path, steps=4, check_targets_below=targets)
        return
    with pytest.raises(ContractError, match="targets reach from 5 to 5; the vocabulary has ids 0 to 4") as caught:
        world.run(tmp_path, steps=5, check_targets_below=targets)
    assert "--tokenizer-dir" in caught.value.todo
    assert len(world.gradients) == 3


def test_collection_is_as_before_however_it_ends(world: World, tmp_path: Path) -> None:
    during: list[bool] = []
    hooks = Hooks(save=lambda *_: during.append(gc.isenabled()), evaluate=lambda _: None)
    world.run(tmp_path, steps=2, hooks=hooks, save_every=1)
    assert during == [False, False]
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0

    def fail(step: int, state: Any) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        world.run(tmp_path, steps=2, hooks=Hooks(save=fail, evaluate=lambda _: None))
    assert gc.isenabled()
    gc.disable()
    try:
        world.run(tmp_path, steps=1)
        assert not gc.isenabled()
    finally:
        gc.enable()
