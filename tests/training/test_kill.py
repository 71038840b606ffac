"""`kill -9` at any moment, then the same command: the run comes to its end as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from nanoplug.training.checkpoint import Checkpoints
from nanoplug.training.metrics import read_rows

DRIVER = Path(__file__).with_name("killed_runs.py")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
TIMES = ("step_ms", "tokens_per_s", "mfu", "data_stall_share", "data_stall_s", "elapsed_s")
SUMMARY = ("steps", "tokens", "train_loss_first", "train_loss_last", "val_bpb_first", "val_bpb", "receipt_sha256")
# Rows are written in threes, so that a kill also meets steps that are not written yet.
FLAGS = {"steps": 40, "save_every": 4, "eval_every": 8, "keep_checkpoints": 3, "log_every": 3, "precision": "fp32"}

pytestmark = pytest.mark.slow


class Driver:
    """See `killed_runs.py`; `output` is of the last command."""

    def __init__(self, process: subprocess.Popen[str], output: Path) -> None:
        self._process, self._output = process, output

    @property
    def output(self) -> str:
        return self._output.read_text(errors="replace")

    def run(self, arguments: list[str], **kill: Any) -> dict[str, Any]:
        moments = {"after_s": None, "at_event": None, "at_first": None}
        order = {"arguments": arguments, "output": str(self._output), **moments, **kill}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        assert answer["exit_code"] in (None, 0), self.output
        return answer


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    command = [sys.executable, str(DRIVER)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        yield Driver(process, tmp_path / "output.txt")
        assert process.stdin is not None
        process.stdin.close()


def result_of(run: Path, steps: int = 40) -> dict[str, Any]:
    """All that must be equal: rows but for times, every byte of the last checkpoint's tensors, the summary's losses."""
    rows = [{key: row[key] for key in row if key not in TIMES} for row in read_rows(run / "metrics.jsonl")]
    summary = json.loads((run / "summary.json").read_text())
    last = run / "checkpoints" / f"step_{steps:06d}"
    return {
        "rows": rows,
        "tensors": {path.name: path.read_bytes() for path in sorted(last.glob("*.safetensors"))},
        "summary": {key: summary[key] for key in SUMMARY},
        "checkpoints": Checkpoints(run / "checkpoints").steps(),
        "files": sorted(path.name for path in run.rglob("*") if path.is_file()),
    }


def check_equal(run: Path, expected: Mapping[str, Any], steps: int = 40) -> None:
    result = result_of(run, steps)
    for number, (row, other) in enumerate(zip(result["rows"], expected["rows"], strict=False)):
        assert row == other, number
    for name in ("summary", "checkpoints", "files"):
        assert result[name] == expected[name]
    for name, content in expected["tensors"].items():
        assert result["tensors"][name] == content, f"{name} differs"
    assert len(result["rows"]) == len(expected["rows"])


def whole_checkpoints(run: Path) -> list[int]:
    """Steps that a command would find; every byte of every one is as it was written."""
    checkpoints = Checkpoints(run / "checkpoints")
    return [checkpoints.load(step).step for step in checkpoints.steps()]


def check_where_it_went_on(output: str, whole: list[int]) -> None:
    """A command goes on from the latest checkpoint that was whole before it, and from no other."""
    said = re.search(r"going on from step (\d+) of", output)
    if said or "\nplan " in output:
        assert (int(said[1]) if said else 0) == max(whole, default=0), output


def test_killed_at_random_moments_and_within_the_save(
    driver: Driver, arguments: Callable[..., list[str]], tmp_path: Path
) -> None:
    events = driver.run(arguments(tmp_path / "whole", **FLAGS))["events"]
    expected = result_of(tmp_path / "whole")
    assert [row["step"] for row in expected["rows"] if row["event"] == "step"] == list(range(FLAGS["steps"]))
    started = time.monotonic()
    driver.run(arguments(tmp_path / "again", **FLAGS))
    whole_s = time.monotonic() - started
    check_equal(tmp_path / "again", expected)

    draw = random.Random(20)
    # Each kind of event the first time that it happens, some events at random, and moments of time.
    kinds = set(events)
    assert kinds >= {"half of a tensor file", "half of state.json", "after rename", "half of removing a folder"}
    kills: list[dict[str, Any]] = [{"at_first": kind} for kind in sorted(kinds)]
    kills += [{"at_event": number} for number in draw.sample(range(1, len(events) // 2), 12)]
    kills += [{"after_s": draw.uniform(0.1, 0.7) * whole_s} for _ in range(14)]
    draw.shuffle(kills)

    killed: list[str] = []
    run, runs = tmp_path / "run_0", 1
    kills.insert(0, {})
    while kills:
        kill = kills.pop()
        whole = whole_checkpoints(run)
        answer = driver.run(arguments(run, **FLAGS), **kill)
        check_where_it_went_on(driver.output, whole)
        if answer["killed"]:
            killed.append("time" if "after_s" in kill else answer["events"][-1])
            continue
        check_equal(run, expected)
        run, runs = tmp_path / f"run_{runs}", runs + 1
        if "at_first" in kill:  # too late in that run for one of its kind
            kills.insert(1, kill)
    assert set(killed) == {*kinds, "time"}
    assert len(killed) >= 30


def test_killed_while_the_last_old_checkpoint_is_removed(
    driver: Driver, arguments: Callable[..., list[str]], tmp_path: Path
) -> None:
    """No save follows that could clear up."""
    flags = {**FLAGS, "steps": 16}
    events = driver.run(arguments(tmp_path / "whole", **flags))["events"]
    last = len(events) - events[::-1].index("half of removing a folder")
    assert driver.run(arguments(tmp_path / "run", **flags), at_event=last)["killed"]
    assert list((tmp_path / "run").rglob("*nanoplug-tmp"))
    assert not driver.run(arguments(tmp_path / "run", **flags))["killed"]
    check_equal(tmp_path / "run", result_of(tmp_path / "whole", 16), 16)


def test_the_command_itself_killed_at_random_moments(arguments: Callable[..., list[str]], tmp_path: Path) -> None:
    def command(run: Path) -> list[str]:
        return [sys.executable, "-m", "nanoplug", *arguments(run, **FLAGS)]

    started = time.monotonic()
    subprocess.run(command(tmp_path / "whole"), check=True, capture_output=True, env=ENVIRONMENT)
    whole_s = time.monotonic() - started
    expected = result_of(tmp_path / "whole")

    draw, run, kills = random.Random(21), tmp_path / "run", 0
    for _ in range(5):
        whole = whole_checkpoints(run)
        process = subprocess.Popen(command(run), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=ENVIRONMENT)
        try:
            output, _ = process.communicate(timeout=draw.uniform(0.3, 0.7) * whole_s)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
        kills += process.returncode == -9
        check_where_it_went_on(output.decode(), whole)
    subprocess.run(command(run), check=True, capture_output=True, env=ENVIRONMENT)
    assert kills >= 3
    check_equal(run, expected)
