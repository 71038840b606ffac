"""Whether text or tokens, threads or processes, a folder or a stream: `nanoplug train` takes the same steps."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from nanoplug.training.metrics import read_rows

TIMES = ("step_ms", "tokens_per_s", "mfu", "data_stall_share", "data_stall_s", "elapsed_s")
Run = Callable[..., Any]


def steps(run: Path) -> list[dict[str, Any]]:
    rows = read_rows(run / "metrics.jsonl")
    return [{key: row[key] for key in row if key not in TIMES} for row in rows]


@pytest.fixture
def tokens(run_here: Run, data: Path, tokenizer: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "tokens"
    done = run_here(*map(str, ("data", "tokenize", "--data", data, "--tokenizer-dir", tokenizer, "--out", folder)))
    assert done.exit_code == 0, done.output
    return folder


def test_tokens_and_processes_train_as_text_does(train: Run, tokens: Path, tmp_path: Path) -> None:
    for name, changes in {"text": {}, "tokens": {"data": tokens}, "processes": {"tokenizer_workers": 2}}.items():
        done = train(tmp_path / f"on_{name}", split_documents=False, **changes)
        assert done.exit_code == 0, done.output
    assert steps(tmp_path / "on_tokens") == steps(tmp_path / "on_text")
    assert steps(tmp_path / "on_processes") == steps(tmp_path / "on_text")
    last = [row for row in steps(tmp_path / "on_text") if row["event"] == "step"][-1]
    assert 0 < last["cropped_share"] < 1
    assert last["padding_share"] == 0.0
    summary = json.loads((tmp_path / "on_text" / "summary.json").read_text())
    assert summary["data_stall_s"] > 0
    assert 0 < summary["data_stall_share"] < 1
    report = (tmp_path / "on_text" / "report.md").read_text()
    for line in (
        "| waiting for data |",
        "| cropped by packing |",
        "| padding of training rows | 0.0 %",
        "validation rows",
    ):
        assert line in report


def test_a_run_on_tokens_goes_on_where_it_stopped(train: Run, tokens: Path, tmp_path: Path) -> None:
    assert train(tmp_path / "whole", data=tokens, steps=9).exit_code == 0
    assert train(tmp_path / "run", data=tokens, steps=6).exit_code == 0
    done = train(tmp_path / "run", data=tokens, steps=9, accept_changes=True)
    assert done.exit_code == 0, done.output
    trained = [[row for row in steps(tmp_path / name) if row["event"] == "step"] for name in ("whole", "run")]
    assert [row["step"] for row in trained[1]] == list(range(9))
    # The learning rates of the first steps are those of a shorter run.
    assert [row["cropped_share"] for row in trained[0]] == [row["cropped_share"] for row in trained[1]]


def test_tokens_of_another_tokenizer(run_here: Run, train: Run, data: Path, tokens: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    making = ("tokenizer", "train", "--tokenizer", "bpe", "--data", data, "--vocab-size", 290, "--out", other)
    assert run_here(*map(str, making)).exit_code == 0
    done = train(tmp_path / "run", data=tokens, tokenizer_dir=other)
    assert done.exit_code == 1
    assert "was tokenized with another tokenizer" in done.output
    assert not (tmp_path / "run" / "config.toml").exists()


def test_a_stream_is_trained_on_as_it_comes(train: Run, data: Path, tmp_path: Path) -> None:
    """A run that stopped goes on although the stream has grown, and validates on what it validated on before."""
    folder = tmp_path / "stream"
    folder.mkdir()
    table = pq.read_table(data / "train_00000.parquet")
    parts = [table.slice(start, 12) for start in range(0, len(table), 12)]

    def add(name: str, part: int) -> None:
        pq.write_table(parts[part], folder / f"{name}.parquet", row_group_size=3)

    add("s0", 0)
    add("s1", 1)
    changes: dict[str, Any] = {"data": folder, "stream": True, "stream_poll_s": 0.05, "buffer_documents": 4}
    done = train(tmp_path / "run", steps=3, **changes)
    assert done.exit_code == 0, done.output
    add("s2", 2)
    (folder / "_COMPLETE").touch()
    done = train(tmp_path / "run", steps=30, accept_changes=True, **changes)
    assert done.exit_code == 0, done.output
    state = json.loads((tmp_path / "run" / "checkpoints" / "step_000030" / "state.json").read_text())
    assert state["validation"]["shards"] == ["s1.parquet"]
    (loader,) = state["loader"]
    assert [entry[0] for entry in loader["shards"]] == ["s0.parquet", "s2.parquet"]
    assert loader["ended"]


def test_a_stream_needs_two_shards_to_begin_with(train: Run, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stream"
    folder.mkdir()
    shutil.copy(data / "val.parquet", folder)
    done = train(tmp_path / "run", data=folder, stream=True)
    assert done.exit_code == 1
    assert "holds 1 whole shard(s); a stream needs two" in done.output


def test_data_that_is_no_cpp_is_warned_of(
    run_here: Run, train: Run, tokenizer: Path, data: Path, tmp_path: Path
) -> None:
    from nanoplug.data.shards import Document, write_shard

    folder = tmp_path / "prose"
    folder.mkdir()
    for name in ("train", "val"):
        write_shard(folder / f"{name}.parquet", [Document(f"{n}", f"{n} words and more words ") for n in range(40)])
    changes = {"sequence_len": 128, "total_batch_size": 256, "steps": 1, "eval_every": -1}
    assert "looks like C++" in train(tmp_path / "run", data=folder, **changes).output
    assert "looks like C++" not in train(tmp_path / "other", **changes).output


def test_a_checkpoint_whose_loader_state_is_of_an_earlier_form(train: Run, tmp_path: Path) -> None:
    from nanoplug.training.checkpoint import _digest

    assert train(tmp_path / "run", steps=3).exit_code == 0
    path = tmp_path / "run" / "checkpoints" / "step_000003" / "state.json"
    state = json.loads(path.read_text())
    state["loader"], state["validation"] = {"format": 1, "position": {}}, "digest"
    state["sha256"] = _digest(state)
    path.write_text(json.dumps(state))
    done = train(tmp_path / "run", steps=6, accept_changes=True)
    assert done.exit_code == 1
    assert "in a way that this nanoplug does not read" in done.output
    assert "--fresh" in done.output
