"""Dashboards are asked for by name; a missing one says what to install."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nanoplug.errors import NanoplugError
from nanoplug.training.sinks import TensorBoardSink, WandbSink, dashboard_values

STEP = {
    "event": "step",
    "step": 0,
    "tokens": 1000,
    "loss": 2.0,
    "loss_ema": 2.5,
    "lr_factor": 1.0,
    "step_ms": 10.0,
    "tokens_per_s": 1e5,
    "mfu": None,
    "data_stall_share": 0.0,
    "data_stall_s": 0.0,
    "cropped_share": 0.015,
    "padding_share": 0.0,
    "elapsed_s": 3.0,
}


def test_missing_tensorboard_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(NanoplugError, match="TensorBoard") as caught:
        TensorBoardSink(tmp_path)
    assert "pip install 'nanoplug[tensorboard]'" in caught.value.todo


def test_missing_wandb_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(NanoplugError) as caught:
        WandbSink("nanoplug", tmp_path, config={}, flops_per_token=6)
    assert "pip install 'nanoplug[wandb]'" in caught.value.todo


def test_tensorboard_gets_scalars_and_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []

    class Writer:
        def __init__(self, log_dir: str, purge_step: int | None) -> None:
            calls.append(("open", log_dir, purge_step))

        def add_scalar(self, name: str, value: float, step: int) -> None:
            calls.append((name, value, step))

        def add_text(self, name: str, text: str, step: int) -> None:
            calls.append((name, text, step))

        def close(self) -> None:
            calls.append(("close",))

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Writer))
    sink = TensorBoardSink(tmp_path, start_step=12)
    sink({"event": "eval", "step": 12, "val_bpb": 1.5})
    sink({"event": "sample", "step": 12, "prompt": "int ", "completion": "main"})
    sink.close()
    assert calls == [
        ("open", str(tmp_path), 12),
        ("val/bpb", 1.5, 12),
        ("samples", "```cpp\nint main\n```", 12),
        ("close",),
    ]


def test_wandb_goes_on_under_one_id_and_logs_every_hundredth_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[dict[str, Any]] = []
    logged: list[dict[str, Any]] = []

    def init(**options: Any) -> SimpleNamespace:
        started.append(options)
        return SimpleNamespace(log=logged.append, finish=lambda: logged.append({"finished": True}))

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    for _ in range(2):
        sink = WandbSink("nanoplug", tmp_path / "run" / "wandb", config={"depth": 2}, flops_per_token=6)
    assert started[0] == started[1]
    assert started[0]["name"] == "run"
    for step in (0, 1, 99, 100):
        sink(STEP | {"step": step})
    sink({"event": "eval", "step": 101, "val_bpb": 1.5})
    sink({"event": "checkpoint", "step": 101})
    sink.close()
    assert [row.get("step") for row in logged] == [0, 100, 101, None]
    assert logged[0]["total_training_flops"] == 6000
    assert logged[0]["train/loss"] == 2.0


def test_null_and_text_are_left_out() -> None:
    assert "train/mfu" not in dashboard_values(STEP)
    assert dashboard_values({"event": "cpp", "step": 1, "cpp_pass_rate": 0.5, "note": "x"}) == {"cpp_pass_rate": 0.5}
