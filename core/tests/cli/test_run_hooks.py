"""What happens between steps: each is recorded; what stands beside the training cannot end it, and says so."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from nanoplug.cli import run_hooks as module
from nanoplug.cli.run_hooks import SAMPLE_PROMPTS, RunHooks
from nanoplug.config import load_config
from nanoplug.errors import NanoplugError
from nanoplug.evaluation import cpp_evaluation, cpp_problems
from nanoplug.evaluation import judge as judge_module
from nanoplug.evaluation.bits_per_byte import BitsPerByte
from nanoplug.inference import completion
from nanoplug.inference import engine as engine_module
from nanoplug.model.config import GPTConfig
from nanoplug.training.checkpoint import Checkpoints
from nanoplug.training.metrics import Metrics, read_rows


class Bench:
    """Hooks on a model of one layer, with a record and a console to look at."""

    def __init__(self, folder: Path) -> None:
        self.said = io.StringIO()
        self.model = torch.nn.Linear(2, 3)
        self.checkpoints = Checkpoints(folder / "checkpoints")
        self.metrics = Metrics(folder / "metrics.jsonl", tokens_per_step=8)
        parts: dict[str, Any] = {
            "config": load_config({}, {"depth": 3, "cpp_eval_max_problems": 2}).config,
            "optimizer": SimpleNamespace(state_tensors=lambda: {"weight/m": torch.ones(3, 2)}),
            "device": SimpleNamespace(rng_state=lambda: {"cpu": torch.get_rng_state()}, world_size=1),
            "tokenizer": SimpleNamespace(fingerprint="f1", bytes_per_token=[1]),
            "validation": "validation batches",
            "validation_state": {"shards": ["val.parquet"], "digest": "v1"},
            "receipt": "{}",
            "model_config": GPTConfig(),
            "console": Console(file=self.said, width=20),
        }
        self.hooks = RunHooks(
            model=self.model, loss_of=self.model, checkpoints=self.checkpoints, metrics=self.metrics, **parts
        )

    def rows(self) -> list[dict[str, Any]]:
        return read_rows(self.metrics.path)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_checkpoint_holds_all_that_a_run_goes_on_from(bench: Bench) -> None:
    bench.metrics.evaluated(0, 2.0)
    bench.hooks.save(7, {"position": 3})
    saved = bench.checkpoints.load()
    assert saved.step == 7
    assert set(saved.model) == {"weight", "bias"}
    assert set(saved.optimizer) == {"weight/m"}
    assert set(saved.random) == {"cpu"}
    state = saved.state
    assert (state["loader"], state["tokenizer"]) == ([{"position": 3}], "f1")
    assert state["validation"] == {"shards": ["val.parquet"], "digest": "v1"}
    assert state["config"]["model"]["depth"] == 3
    assert GPTConfig.from_dict(state["model"]) == GPTConfig()
    assert state["metrics"]["val_bpb"] == 2.0
    assert bench.rows()[-1] == {"event": "checkpoint", "step": 7}


def test_a_checkpoint_that_cannot_be_written_is_not_recorded(bench: Bench) -> None:
    bench.checkpoints.folder.write_text("in the way")
    with pytest.raises(FileExistsError):
        bench.hooks.save(7, {})
    assert not bench.metrics.path.exists()


def test_validation_is_recorded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def bits_per_byte(model: Any, batches: Any, token_bytes: Any, device: Any) -> BitsPerByte:
        assert (model, batches, token_bytes) == (bench.model, "validation batches", [1])
        return BitsPerByte(bpb=1.5, nats=2.0, bytes=20, tokens=10)

    monkeypatch.setattr(module, "bits_per_byte", bits_per_byte)
    bench.hooks.evaluate(4)
    assert bench.rows() == [{"event": "eval", "step": 4, "val_bpb": 1.5, "val_bytes": 20, "val_tokens": 10}]


def test_samples_are_greedy_and_recorded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def complete_text(engine: Any, prompt: str, *, max_tokens: int, temperature: float) -> list[str]:
        assert (max_tokens, temperature) == (128, 0.0)
        assert not bench.model.training
        return [f"after {SAMPLE_PROMPTS.index(prompt)}"]

    monkeypatch.setattr(completion, "complete_text", complete_text)
    monkeypatch.setattr(engine_module, "Engine", lambda *_, **__: None)
    bench.hooks.sample(4)
    assert [(row["prompt"], row["completion"]) for row in bench.rows()] == [
        (prompt, f"after {number}") for number, prompt in enumerate(SAMPLE_PROMPTS)
    ]
    assert bench.model.training


def test_rates_of_cpp_are_recorded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def evaluate_cpp(problems: list[str], complete: Any, judge: Any) -> Any:
        assert problems == ["a", "b"]
        return SimpleNamespace(pass_rate=0.25, compile_rate=0.5)

    monkeypatch.setattr(cpp_problems, "load_problems", lambda: ["a", "b", "c"])
    monkeypatch.setattr(cpp_evaluation, "evaluate_cpp", evaluate_cpp)
    monkeypatch.setattr(judge_module, "Judge", lambda: None)
    monkeypatch.setattr(engine_module, "Engine", lambda *_, **__: None)
    bench.hooks.cpp(4)
    assert bench.rows() == [{"event": "cpp", "step": 4, "cpp_pass_rate": 0.25, "cpp_compile_rate": 0.5}]


@pytest.mark.parametrize(("hook", "what"), [("sample", "sampling"), ("cpp", "C++ evaluation")])
def test_what_fails_beside_the_training_is_said_in_one_line(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, hook: str, what: str
) -> None:
    def engine(*_: Any, **__: Any) -> None:
        raise RuntimeError("out of [memory]")

    monkeypatch.setattr(engine_module, "Engine", engine)
    getattr(bench.hooks, hook)(4)
    assert bench.said.getvalue() == f"{what} failed at step 4: RuntimeError: out of [memory]\n"
    assert bench.model.training
    assert not bench.metrics.path.exists()


def test_a_full_disk_ends_the_run_whoever_writes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def sampled(*_: Any) -> None:
        raise NanoplugError("no room")

    monkeypatch.setattr(completion, "complete_text", lambda *_, **__: [""])
    monkeypatch.setattr(engine_module, "Engine", lambda *_, **__: None)
    monkeypatch.setattr(bench.metrics, "sampled", sampled)
    with pytest.raises(NanoplugError, match="no room"):
        bench.hooks.sample(4)
