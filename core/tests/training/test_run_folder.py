"""Who may train in a folder, on what terms, and what is kept."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from nanoplug.config import load_config, read_toml
from nanoplug.errors import NanoplugError, RunConflict
from nanoplug.training.run_folder import RunFolder

OLD = load_config({}, {"depth": 2}).config.to_dict()
NEW = load_config({}, {"depth": 2, "steps": 9}).config.to_dict()


def no_changes(stored: str) -> list[str]:
    return []


def check(
    folder: RunFolder,
    config: Mapping[str, Any],
    *,
    fresh: bool = False,
    accept: bool = False,
    changes: Any = no_changes,
) -> list[str]:
    return folder.check(config, receipt_changes=changes, fresh=fresh, accept_changes=accept)


def begin(folder: RunFolder, config: Mapping[str, Any] = OLD, receipt: str = "r1", **how: bool) -> None:
    folder.begin(config, receipt, **{"fresh": False, "changed": False, **how})


def save(folder: RunFolder, step: int) -> None:
    weight = {"w": torch.zeros(1)}
    folder.checkpoints().save(step, model=weight, optimizer={}, random={}, receipt="", state={})


def files(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "runs" / "a")
    with made.locked():
        return made


@pytest.fixture
def old_run(folder: RunFolder) -> RunFolder:
    assert check(folder, OLD) == []
    begin(folder)
    save(folder, 10)
    folder.metrics.write_text("rows")
    folder.summary.write_text('{"steps": 10}')
    (folder.path / "notes.txt").write_text("mine")
    return folder


def test_a_new_folder_becomes_a_run(folder: RunFolder) -> None:
    assert not folder.holds_run()
    with pytest.raises(RunConflict, match="holds no run"):
        folder.require_run()
    assert check(folder, OLD) == []
    assert not folder.holds_run()
    begin(folder)
    assert read_toml(folder.config) == OLD == folder.require_run()
    assert folder.receipt.read_text() == "r1"
    assert folder.finished_at() is None


def test_the_same_again_changes_nothing(old_run: RunFolder) -> None:
    before = files(old_run.path)
    assert check(old_run, OLD) == []
    begin(old_run)
    assert files(old_run.path) == before
    assert old_run.finished_at() == 10


def test_every_difference_is_listed_and_nothing_is_touched(old_run: RunFolder) -> None:
    before = files(old_run.path)

    def changes(stored: str) -> list[str]:
        assert stored == "r1"
        return ["kernel a -> b"]

    with pytest.raises(RunConflict) as caught:
        check(old_run, NEW, changes=changes)
    assert caught.value.details == ("horizon.steps -1 -> 9", "kernel a -> b")
    assert "--accept-changes" in caught.value.todo
    assert "--fresh" in caught.value.todo
    assert check(old_run, NEW, changes=changes, accept=True) == ["horizon.steps -1 -> 9", "kernel a -> b"]
    assert check(old_run, NEW, fresh=True) == []
    assert files(old_run.path) == before


def test_accepted_changes_keep_what_they_replace(old_run: RunFolder) -> None:
    begin(old_run, NEW, "r2", changed=True)
    kept = old_run.path / "replaced" / "until_step_000010"
    assert read_toml(kept / "config.toml") == OLD
    assert (kept / "receipt.json").read_text() == "r1"
    assert read_toml(old_run.config) == NEW
    assert old_run.receipt.read_text() == "r2"
    assert old_run.finished_at() is None
    assert old_run.checkpoints().steps() == [10]
    # Another change before another step: what made the steps until here is still what is kept.
    begin(old_run, OLD, "r3", changed=True)
    assert (kept / "receipt.json").read_text() == "r1"
    assert old_run.receipt.read_text() == "r3"


def test_fresh_removes_the_run_and_nothing_else(old_run: RunFolder) -> None:
    begin(old_run, NEW, "r2", fresh=True)
    assert set(files(old_run.path)) == {"config.toml", "receipt.json", "notes.txt", ".lock"}
    assert read_toml(old_run.config) == NEW


def test_a_folder_of_other_files_is_no_place_for_a_run(folder: RunFolder) -> None:
    for name in "abcdefg":
        (folder.path / name).write_text("")
    for fresh in (False, True):
        with pytest.raises(RunConflict, match="holds no run but other files: a, b, c, d, e and 2 more") as caught:
            check(folder, OLD, fresh=fresh)
        assert "--out" in caught.value.todo


def test_files_beside_a_run_are_left_alone(old_run: RunFolder) -> None:
    check(old_run, OLD)
    assert (old_run.path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("lost", ["config.toml", "receipt.json"])
def test_checkpoints_that_nothing_explains_are_not_gone_on_from(old_run: RunFolder, lost: str) -> None:
    (old_run.path / lost).unlink()
    (old_run.path / "notes.txt").unlink()
    with pytest.raises(RunConflict, match=r"checkpoints but no config\.toml and receipt\.json"):
        check(old_run, OLD)
    assert check(old_run, OLD, fresh=True) == []


def test_what_a_killed_process_left_is_removed(old_run: RunFolder) -> None:
    (old_run.path / ".config.toml.ab12.nanoplug-tmp").write_text("half")
    begin(old_run)
    assert not list(old_run.path.glob(".*nanoplug-tmp"))


def test_a_damaged_summary_is_said(old_run: RunFolder) -> None:
    old_run.summary.write_text('{"ste')
    with pytest.raises(RunConflict, match=r"summary.json is damaged.\n  Remove it"):
        old_run.finished_at()


def test_two_processes_cannot_train_in_one_folder(folder: RunFolder) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom nanoplug.training.run_folder import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).locked():\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(folder.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(RunConflict, match="another process is training in"), folder.locked():
            pass
        other.kill()
    with folder.locked():
        pass


def test_a_place_that_cannot_be_a_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(RunConflict, match="cannot be a run folder") as caught, RunFolder(path).locked():
            pass
        assert "--out" in caught.value.todo


def test_a_full_disk_keeps_the_old_configuration(old_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def replace(source: Any, target: Any) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(NanoplugError, match="no room"):
        begin(old_run, NEW, "r2", changed=True)
    assert read_toml(old_run.config) == OLD
    assert old_run.receipt.read_text() == "r1"
