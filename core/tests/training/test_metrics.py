"""A run's record: exact rows, few device reads, whole files, and the same rows after an interruption."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from nanoplug.data.packing import PackingCounts
from nanoplug.errors import DataError, NanoplugError
from nanoplug.training.metrics import Metrics, read_rows

TIMES = ("step_ms", "tokens_per_s", "mfu", "data_stall_share", "data_stall_s", "elapsed_s")


class Clock:
    """Time that moves only when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def make(path: Path, **options: Any) -> Metrics:
    return Metrics(path, tokens_per_step=1000, **options)


def loss_at(step: int) -> float:
    return 5.0 / (step + 1) + 0.1 * (step % 3)


def one_step(metrics: Metrics, step: int, loss: float | None = None) -> None:
    with metrics.waiting_for_data():
        pass
    value = loss_at(step) if loss is None else loss
    metrics.stepped(step, torch.tensor(value, dtype=torch.float64), lr_factor=1.0 - step / 100)


def run(metrics: Metrics, start: int, stop: int, *, saves: Mapping[int, Any], last: int) -> dict[int, Any]:
    """The loop's order of events from `start` until before `stop`; states of the checkpoints."""
    states = {}
    for step in range(start, stop):
        if step in saves and step > start:
            states[step] = json.loads(json.dumps(metrics.state_dict(), allow_nan=False))
            metrics.checkpointed(step)
        if step % 4 == 0 or step == last:
            metrics.evaluated(step, 3.0 - step / 50, {"tokens": 10})
        if step == 8:
            metrics.sampled(step, "int ", "main() {}")
        if step < last:
            one_step(metrics, step)
    return states


def without_times(path: Path) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in TIMES} for row in read_rows(path)]


def test_step_row(tmp_path: Path) -> None:
    clock = Clock()
    metrics = make(tmp_path / "m", flops_per_token=6, peak_flops=1e6, world_size=2, log_every=1, clock=clock)
    with metrics.waiting_for_data():
        clock.now += 0.125
    clock.now += 0.125
    with metrics.waiting_for_data():
        clock.now += 0.0
    clock.now += 0.25
    packing = PackingCounts(rows=4, places=40, documents=5, tokens=30, cropped_tokens=10)
    metrics.stepped(0, torch.tensor(2.5), lr_factor=0.75, packing=packing)
    metrics.close()
    assert read_rows(tmp_path / "m") == [
        {
            "event": "step",
            "step": 0,
            "tokens": 1000,
            "loss": 2.5,
            "loss_ema": pytest.approx(2.5),
            "lr_factor": 0.75,
            "step_ms": 500.0,
            "tokens_per_s": 2000.0,
            "mfu": pytest.approx(6 * 2000 / 2e6),
            "data_stall_share": 0.25,
            "data_stall_s": 0.125,
            "cropped_share": 0.25,
            "padding_share": 0.25,
            "elapsed_s": 0.5,
        }
    ]


def test_unknown_peak_gives_no_mfu(tmp_path: Path) -> None:
    metrics = make(tmp_path / "m", flops_per_token=6)
    one_step(metrics, 0)
    assert read_rows(tmp_path / "m")[0]["mfu"] is None


def test_ema_is_debiased_by_updates(tmp_path: Path) -> None:
    metrics = make(tmp_path / "m")
    losses = [4.0, 2.0, 1.0]
    for step, loss in enumerate(losses):
        one_step(metrics, step, loss)
    metrics.close()
    biased = 0.0
    for step, (row, loss) in enumerate(zip(read_rows(tmp_path / "m"), losses, strict=True)):
        biased = 0.9 * biased + 0.1 * loss
        assert row["loss_ema"] == pytest.approx(biased / (1 - 0.9 ** (step + 1)))


def test_time_outside_steps_does_not_count(tmp_path: Path) -> None:
    clock = Clock()
    metrics = make(tmp_path / "m", clock=clock)
    for step in range(12):
        with metrics.waiting_for_data():
            clock.now += 1.0
        clock.now += 1.0
        metrics.stepped(step, torch.tensor(1.0), lr_factor=1.0)
        clock.now += 50.0  # an evaluation
        if step == 10:
            metrics.evaluated(step + 1, 2.0)
    metrics.close()
    rows = [row for row in read_rows(tmp_path / "m") if row["event"] == "step"]
    assert {row["step_ms"] for row in rows} == {2000.0}
    assert rows[-1]["elapsed_s"] == pytest.approx(24.0)


def test_losses_are_read_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    stack = torch.stack

    def counted(tensors: list[torch.Tensor]) -> torch.Tensor:
        reads.append(len(tensors))
        return stack(tensors)

    monkeypatch.setattr(torch, "stack", counted)
    metrics = make(tmp_path / "m", log_every=10)
    for step in range(40):
        one_step(metrics, step)
    # The first step, which compiles, is read alone.
    assert reads == [1, 9, 10, 10, 10]
    assert len(read_rows(tmp_path / "m")) == 40


def test_loss_may_be_changed_in_place_afterwards(tmp_path: Path) -> None:
    metrics = make(tmp_path / "m")
    loss = torch.tensor(1.0)
    for step in range(3):
        loss.fill_(step + 1.0)
        metrics.stepped(step, loss, lr_factor=1.0)
    metrics.close()
    assert [row["loss"] for row in read_rows(tmp_path / "m")] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_non_finite_loss_names_its_step_and_comes_before_a_checkpoint(tmp_path: Path, bad: float) -> None:
    metrics = make(tmp_path / "m", log_every=100)
    for step in range(5):
        one_step(metrics, step, bad if step == 3 else 1.0)
    with pytest.raises(NanoplugError, match="at step 3") as caught:
        metrics.state_dict()
    assert "learning rates" in caught.value.todo
    assert [row["step"] for row in read_rows(tmp_path / "m")] == [0, 1, 2]


@pytest.mark.parametrize("log_every", [1, 4, 100])
@pytest.mark.parametrize("killed_before", [9, 10, 11, 12, 13, 17])
@pytest.mark.parametrize("torn", ["", '{"event": "st'])
def test_resumed_run_has_the_rows_of_an_uninterrupted_one(
    tmp_path: Path, log_every: int, killed_before: int, torn: str
) -> None:
    saves = dict.fromkeys((4, 8, 12, 16))
    whole = make(tmp_path / "whole", log_every=log_every)
    run(whole, 0, 19, saves=saves, last=18)
    whole.close()

    path = tmp_path / "resumed"
    states = run(make(path, log_every=log_every), 0, killed_before, saves=saves, last=18)
    with open(path, "a") as file:
        file.write(torn)
    step = max(states)
    again = make(path, log_every=log_every)
    again.load_state(states[step])
    run(again, step, 19, saves=saves, last=18)
    again.close()
    assert without_times(path) == without_times(tmp_path / "whole")
    assert again.loss_ema == whole.loss_ema
    assert (again.val_bpb, again.min_val_bpb) == (whole.val_bpb, whole.min_val_bpb)


def test_checkpoint_row_is_made_good_after_a_kill_between_both(tmp_path: Path) -> None:
    metrics = make(tmp_path / "m")
    for step in range(3):
        one_step(metrics, step)
    state = metrics.state_dict()
    again = make(tmp_path / "m")
    again.load_state(state)
    assert without_times(tmp_path / "m")[-1] == {"event": "checkpoint", "step": 3}


def test_elapsed_time_goes_on_after_a_resume(tmp_path: Path) -> None:
    clock = Clock()
    first = make(tmp_path / "m", clock=clock)
    with first.waiting_for_data():
        clock.now += 3.0
    first.stepped(0, torch.tensor(1.0), lr_factor=1.0)
    again = make(tmp_path / "m", clock=clock)
    again.load_state(first.state_dict())
    assert again.elapsed_s == 3.0


def test_a_fresh_run_replaces_old_rows_at_its_first(tmp_path: Path) -> None:
    old = make(tmp_path / "m")
    one_step(old, 0)
    old.close()
    fresh = make(tmp_path / "m")
    assert len(read_rows(tmp_path / "m")) == 1
    fresh.evaluated(0, 2.0)
    assert [row["event"] for row in read_rows(tmp_path / "m")] == ["eval"]


def test_state_dict_leaves_every_row_in_the_file(tmp_path: Path) -> None:
    metrics = make(tmp_path / "m", log_every=100)
    for step in range(7):
        one_step(metrics, step)
    assert metrics.state_dict()["step"] == 7
    assert len(read_rows(tmp_path / "m")) == 7


def test_infinity_is_null(tmp_path: Path) -> None:
    make(tmp_path / "m").evaluated(0, math.inf)
    assert json.loads((tmp_path / "m").read_text())["val_bpb"] is None


def test_bad_line_in_the_middle_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "m").write_text('{"event": "eval", "step": 0}\n{"event"\n{"event": "eval", "step": 4}\n')
    with pytest.raises(DataError, match="line 2"):
        read_rows(tmp_path / "m")


def test_observers_get_every_row_and_a_broken_one_is_heard_no_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []
    calls = 0

    def broken(row: Mapping[str, Any]) -> None:
        nonlocal calls
        calls += 1
        raise RuntimeError("disk on fire")

    def spoils(row: Mapping[str, Any]) -> None:
        row["loss"] = 0.0  # type: ignore[index]

    metrics = make(tmp_path / "m", observers=[broken, spoils, lambda row: heard.append(row["event"])])
    with caplog.at_level(logging.WARNING):
        one_step(metrics, 0)
        metrics.evaluated(1, 2.0)
        metrics.checkpointed(1)
    assert heard == ["step", "eval", "checkpoint"]
    assert calls == 1
    assert "disk on fire" in caplog.text
    assert read_rows(tmp_path / "m")[0]["loss"] == 5.0
