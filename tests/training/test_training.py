"""Whole runs with the plugins that ship: what they leave, how they go on, and who hears of it."""

from __future__ import annotations

import importlib
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import nanoplug
from nanoplug.model.gpt import GPT, GPTConfig
from nanoplug.optim.optimizers import build_optimizer
from nanoplug.optim.settings import OptimSettings
from nanoplug.training.checkpoint import Checkpoints
from nanoplug.training.metrics import read_rows

TIMES = ("step_ms", "tokens_per_s", "mfu", "data_stall_share", "data_stall_s", "elapsed_s")
Train = Callable[..., Any]


def rows(run: Path) -> list[dict[str, Any]]:
    """Rows of the metrics, but for times."""
    return [{key: row[key] for key in row if key not in TIMES} for row in read_rows(run / "metrics.jsonl")]


def weights(run: Path, step: int = 12) -> bytes:
    return (run / "checkpoints" / f"step_{step:06d}" / "model.safetensors").read_bytes()


def steps(run: Path) -> list[int]:
    return Checkpoints(run / "checkpoints").steps()


def forget_after(run: Path, step: int) -> None:
    """As if the process had been killed right after the checkpoint of `step`."""
    for later in steps(run):
        if later > step:
            shutil.rmtree(run / "checkpoints" / f"step_{later:06d}")
    for name in ("summary.json", "report.md", "loss.png"):
        (run / name).unlink(missing_ok=True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("finished") / "run"


@pytest.fixture
def run(finished: Path, tmp_path: Path, train: Train) -> Path:
    """A copy of a finished run, which is made once."""
    if not finished.exists():
        assert train(finished).exit_code == 0
    return Path(shutil.copytree(finished, tmp_path / "run"))


def test_what_a_run_says_and_leaves(train: Train, tmp_path: Path) -> None:
    result = train(tmp_path / "run", tensorboard=True, sample_every=12)
    assert result.exit_code == 0
    for site in ("device", "tokenizer", "kernel", "attention.train", "attention.decode"):
        assert f"\n{site} " in "\n" + result.stdout
    assert "receipt " in result.stdout
    assert "12 steps of 64 tokens (1 micro-batches)" in result.stdout
    assert "bits per byte" in result.stdout

    run = tmp_path / "run"
    summary = json.loads((run / "summary.json").read_text())
    receipt = json.loads((run / "receipt.json").read_text())
    assert (summary["steps"], summary["tokens"]) == (12, 768)
    assert summary["receipt_sha256"] == receipt["sha256"]
    assert {piece["site"] for piece in receipt["pieces"]} >= {"device", "tokenizer", "kernel", "attention.train"}
    assert summary["val_bpb"] < summary["val_bpb_first"]
    assert summary["peak_memory_bytes"] > 1 << 20
    assert (run / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert (run / "config.toml").is_file()
    assert list((run / "tensorboard").glob("events.out.tfevents.*"))
    assert steps(run) == [3, 6, 9, 12]
    events = [row["event"] for row in rows(run)]
    assert {name: events.count(name) for name in set(events)} == {"step": 12, "eval": 4, "checkpoint": 4, "sample": 5}

    report = (run / "report.md").read_text()
    for fact in ("parameters", "FLOPs per token", "tokens per parameter", "devices", "warmup", "warmdown", "precision"):
        assert f"| {fact} | " in report
    assert "| parameters | 13,314 |" in report
    assert "| tokens per parameter | 0.0577 |" in report
    assert "## Samples at step 12" in report
    assert "sdpa" in report


def test_the_same_again_says_that_it_is_finished(train: Train, run: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    result = train(run)
    assert result.exit_code == 0
    assert "is finished: 12 steps" in result.stdout
    assert "--fresh" in result.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize("step", [3, 9, 12])
def test_from_any_checkpoint_it_is_the_same_run(train: Train, run: Path, step: int) -> None:
    expected, last = rows(run), weights(run)
    optimizer = (run / "checkpoints" / "step_000012" / "optimizer.safetensors").read_bytes()
    summary = json.loads((run / "summary.json").read_text())
    forget_after(run, step)
    with open(run / "metrics.jsonl", "a") as file:
        file.write('{"event": "step", "st')
    result = train(run)
    assert result.exit_code == 0
    assert f"going on from step {step} of 12" in result.stdout
    assert rows(run) == expected
    assert weights(run) == last
    assert (run / "checkpoints" / "step_000012" / "optimizer.safetensors").read_bytes() == optimizer
    again = json.loads((run / "summary.json").read_text())
    for key in ("steps", "tokens", "train_loss_first", "train_loss_last", "val_bpb_first", "val_bpb", "receipt_sha256"):
        assert again[key] == summary[key]


def test_more_steps_when_accepted(train: Train, run: Path) -> None:
    refused = train(run, steps=15)
    assert refused.exit_code == 1
    assert "horizon.steps 12 -> 15" in refused.stderr
    assert "--accept-changes" in refused.stderr
    first = rows(run)[: [row["event"] for row in rows(run)].index("checkpoint")]
    result = train(run, steps=15, accept_changes=True)
    assert result.exit_code == 0
    assert f"{'changed':<16} horizon.steps 12 -> 15\n" in result.stdout
    assert "going on from step 12 of 15" in result.stdout
    assert steps(run) == [3, 6, 9, 12, 15]
    assert json.loads((run / "summary.json").read_text())["steps"] == 15
    assert [row["step"] for row in rows(run) if row["event"] == "step"] == list(range(15))
    assert rows(run)[: len(first)] == first
    assert "steps = 12" in (run / "replaced" / "until_step_000012" / "config.toml").read_text()
    assert train(run, steps=15).exit_code == 0


def test_fewer_steps_than_were_trained_are_refused_and_nothing_changes(train: Train, run: Path) -> None:
    before = (run / "config.toml").read_text()
    result = train(run, steps=5, accept_changes=True)
    assert result.exit_code == 1
    assert "the latest checkpoint is of step 12, beyond the 5 steps asked for" in result.stderr
    assert (run / "config.toml").read_text() == before
    assert train(run).exit_code == 0


def test_fresh_starts_over_and_comes_to_the_same(train: Train, run: Path) -> None:
    expected, last = rows(run), weights(run)
    (run / "notes.txt").write_text("mine")
    result = train(run, fresh=True)
    assert result.exit_code == 0
    assert "going on" not in result.stdout
    assert rows(run) == expected
    assert weights(run) == last
    assert (run / "notes.txt").read_text() == "mine"


def test_only_the_latest_checkpoints_are_kept(train: Train, tmp_path: Path) -> None:
    assert train(tmp_path / "run", keep_checkpoints=2, save_every=2).exit_code == 0
    assert steps(tmp_path / "run") == [10, 12]


def test_a_run_of_one_step_and_no_evaluation(train: Train, tmp_path: Path) -> None:
    result = train(tmp_path / "run", steps=1, eval_every=-1, save_every=-1)
    assert result.exit_code == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["steps"], summary["val_bpb"]) == (1, None)
    assert steps(tmp_path / "run") == [1]


def test_documents_can_be_kept_apart(train: Train, tmp_path: Path) -> None:
    flags = {"sequence_len": 256, "total_batch_size": 512, "check": True, "eval_every": -1}
    losses = []
    for mask in (False, True):
        run = tmp_path / f"{mask}"
        assert train(run, mask_documents=mask, gradient_checkpointing=mask, **flags).exit_code == 0
        losses.append([row["loss"] for row in rows(run) if row["event"] == "step"])
    together, apart = losses
    # The first loss is that of zeroed output projections: attention has no say yet. Afterwards it has.
    assert apart[0] == pytest.approx(together[0], rel=1e-6)
    assert abs(apart[-1] - together[-1]) > 1e-6
    assert apart[-1] < apart[0]


def test_a_run_can_be_opened_from_anywhere(
    train: Train, run_here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: Path, tokenizer: Path
) -> None:
    monkeypatch.chdir(data.parent)
    assert train(tmp_path / "run", data=data.name, tokenizer_dir=tokenizer.name, steps=1).exit_code == 0
    monkeypatch.chdir(tmp_path)
    result = run_here("generate", "--run", str(tmp_path / "run"), "--prompt", "int f", "--max-tokens", "3")
    assert result.exit_code == 0
    assert result.stdout.startswith("int f")
    assert train(tmp_path / "run", steps=1).exit_code == 0


def test_another_backend_can_open_a_run_and_takes_no_options_of_the_first(
    train: Train, run_here: Any, tmp_path: Path
) -> None:
    run = str(tmp_path / "run")
    assert train(run, kernel="chunked", option="kernel.chunk_rows=16", steps=1).exit_code == 0
    generate = ("generate", "--run", run, "--prompt", "int f", "--max-tokens", "3", "--temperature", "0")
    texts = [run_here(*generate, *choice).stdout for choice in ([], ["--kernel", "torch"])]
    assert texts[0] == texts[1] != ""
    refused = run_here(*generate, "--kernel", "chunkd")
    assert refused.exit_code == 1
    assert "did you mean 'chunked'" in refused.stderr


def test_micro_batches_of_4_twice_equal_8_once() -> None:
    """The same 8 rows: the same mean loss, and the same weights after the optimizer's step."""
    config = GPTConfig(vocab_size=64, sequence_len=16, n_layer=2, n_head=2, n_kv_head=2, n_embd=32)
    ids_BT = torch.randint(0, 64, (8, 17), generator=torch.Generator().manual_seed(3))
    after, losses = [], []
    for parts in (1, 2):
        model = GPT(config, attention=nanoplug.load("attention", "sdpa"), kernel=nanoplug.load("kernel", "torch"))
        model.init_weights(1)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
        optimizer = build_optimizer(model, OptimSettings())
        optimizer.set_step(0, 10)
        total = torch.zeros(())
        for part_BT in ids_BT.chunk(parts):
            loss = model(part_BT[:, :-1], part_BT[:, 1:]) / parts
            loss.backward()
            total += loss.detach()
        optimizer.step()
        losses.append(float(total))
        after.append({name: parameter.detach().clone() for name, parameter in model.named_parameters()})
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    for name, whole in after[0].items():
        torch.testing.assert_close(after[1][name], whole, rtol=1e-3, atol=2e-4, msg=name)


OBSERVER = """
from nanoplug.spec import hookimpl
heard = []

@hookimpl
def nanoplug_event(event):
    {first}
    heard.append(event)
"""


def test_an_observer_hears_a_run_from_start_to_end(train: Train, run: Path, plugin_folder: Any) -> None:
    expected = rows(run)
    plugin_folder.add("listener", {"manifest": OBSERVER.format(first="pass")})
    plugin_folder.add("ailing", {"manifest": OBSERVER.format(first="raise SystemExit(3)")})
    forget_after(run, 9)
    result = train(run)
    assert result.exit_code == 0
    assert result.stderr.count("observer ailing of ailing is heard no more") == 1
    heard = importlib.import_module("listener.manifest").heard
    kinds = [event["event"] for event in heard]
    assert kinds == ["run_start", *["step"] * 3, "checkpoint", "eval", "run_end"]
    start, end = heard[0], heard[-1]
    assert (start["step"], start["steps"], start["config"]["model"]["depth"]) == (9, 12, 1)
    summary = json.loads((run / "summary.json").read_text())
    assert dict(end["summary"]) == summary
    assert end["error"] is None
    assert start["receipt_sha256"] == end["receipt_sha256"] == summary["receipt_sha256"]
    # They are no rows of the metrics: those are the same as without anybody listening.
    assert rows(run) == expected


def test_an_observer_hears_of_a_run_that_fails(train: Train, tmp_path: Path, plugin_folder: Any) -> None:
    plugin_folder.add("listener", {"manifest": OBSERVER.format(first="pass")})
    result = train(tmp_path / "run", matrix_lr=1e30, embedding_lr=1e30, unembedding_lr=1e30)
    assert result.exit_code == 1
    assert "the loss is nan at step" in result.stderr or "is not finite after step" in result.stderr
    assert "Lower the learning rates" in result.stderr
    end = importlib.import_module("listener.manifest").heard[-1]
    assert (end["event"], end["summary"]) == ("run_end", None)
    assert "NanoplugError" in end["error"]
    for step in steps(tmp_path / "run"):
        read = load_file(tmp_path / "run" / "checkpoints" / f"step_{step:06d}" / "model.safetensors")
        assert all(bool(tensor.isfinite().all()) for tensor in read.values())


def test_ctrl_c_says_where_the_same_command_goes_on(arguments: Any, train: Train, tmp_path: Path) -> None:
    run = tmp_path / "run"
    flags = arguments(run, steps=100_000, eval_every=-1, save_every=20, keep_checkpoints=2)
    with subprocess.Popen(
        [sys.executable, "-m", "nanoplug", *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if "step 40: checkpoint saved" in line:
                process.send_signal(signal.SIGINT)
                break
        rest, errors = process.stdout.read(), process.stderr.read()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert errors.endswith("interrupted\n")
    latest = steps(run)[-1]
    assert f"stopped. The same command, without --fresh, goes on from step {latest:,} of 100,000." in rest
    assert not list(run.rglob("*nanoplug-tmp"))
    again = train(run, steps=latest + 1, eval_every=-1, save_every=20, keep_checkpoints=2, accept_changes=True)
    assert f"going on from step {latest} of {latest + 1}" in again.stdout
    assert again.exit_code == 0
