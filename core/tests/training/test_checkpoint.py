"""A checkpoint is read back to the last bit, or not at all; nothing that fails harms another."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nanoplug.errors import CheckpointError, NanoplugError
from nanoplug.training import checkpoint as module
from nanoplug.training.checkpoint import Checkpoints

STATE = {"model": {"n_layer": 1}, "metrics": {"ema_sum": 0.1 + 0.2, "val_bpb": None}, "loader": {"buffer": [[0, 1, 2]]}}


def tensors(seed: int = 0) -> dict[str, dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(4, 3, generator=generator)
    return {
        "model": {"a.weight": torch.nn.Parameter(weight), "b": torch.tensor([1.0, -0.0, 1e-45])},
        "optimizer": {"a.weight/momentum": torch.randn(3, 4, generator=generator).T, "a.weight/step": torch.tensor(7)},
        "random": {"cpu": generator.get_state()},
    }


def save(checkpoints: Checkpoints, step: int, seed: int = 0) -> Path:
    return checkpoints.save(step, **tensors(seed), receipt='{"r": 1}', state=STATE)


def equal(left: Any, right: Any) -> bool:
    return left.keys() == right.keys() and all(
        left[key].dtype == right[key].dtype
        and left[key].shape == right[key].shape
        and left[key].contiguous().numpy().tobytes() == right[key].detach().contiguous().numpy().tobytes()
        for key in left
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_saved_is_read_back_to_the_last_bit(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    folder = save(checkpoints, 12)
    assert folder.name == "step_000012"
    tensor_files = [f"{name}.safetensors" for name in ("model", "optimizer", "random")]
    assert names(folder) == [*tensor_files, "receipt.json", "state.json"]
    read = checkpoints.load()
    assert (read.step, read.folder) == (12, folder)
    for name, expected in tensors().items():
        assert equal(getattr(read, name), expected)
    assert {key: read.state[key] for key in STATE} == STATE
    assert (folder / "receipt.json").read_text() == '{"r": 1}'


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    (save(checkpoints, 1) / "optimizer.safetensors").write_bytes(b"")
    read = checkpoints.load(tensors=("model",))
    assert equal(read.model, tensors()["model"])
    assert read.optimizer == {}
    with pytest.raises(CheckpointError, match="optimizer"):
        checkpoints.load()


def test_steps_are_ordered_by_number_and_the_latest_is_the_default(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (999_999, 2, 1_000_000):
        save(checkpoints, step, seed=step)
    (tmp_path / "step_12").mkdir()
    (tmp_path / "notes").mkdir()
    assert checkpoints.steps() == [2, 999_999, 1_000_000]
    assert equal(checkpoints.load().model, tensors(1_000_000)["model"])
    assert equal(checkpoints.load(2).model, tensors(2)["model"])


def test_none_and_another_step_are_said_with_what_there_is(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    with pytest.raises(CheckpointError, match=r"no checkpoint in .*checkpoints\.\n  Train first"):
        checkpoints.load()
    save(checkpoints, 3)
    save(checkpoints, 5)
    with pytest.raises(CheckpointError, match=r"no checkpoint of step 4 .*\n  Steps there: 3, 5"):
        checkpoints.load(4)


def test_the_latest_few_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in (9, 10, 100):
        save(checkpoints, step)
    assert names(tmp_path) == ["step_000010", "step_000100"]
    Checkpoints(tmp_path, keep=1).tidy()
    assert names(tmp_path) == ["step_000100"]
    Checkpoints(tmp_path / "missing", keep=1).tidy()


def test_what_killed_processes_left_is_removed_and_never_read(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 1)
    for leftover in (".step_000002.ab12.nanoplug-tmp", ".step_000001.removed.nanoplug-tmp"):
        shutil.copytree(tmp_path / "step_000001", tmp_path / leftover)
    assert checkpoints.steps() == [1]
    checkpoints.tidy()
    assert names(tmp_path) == ["step_000001"]


def cut(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-7])


def flip(name: str) -> Callable[[Path], None]:
    def one_byte(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[-1] ^= 1
        (folder / name).write_bytes(content)

    return one_byte


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def edit(folder: Path) -> None:
    state = json.loads((folder / "state.json").read_text())
    state["loader"]["buffer"] = []
    (folder / "state.json").write_text(json.dumps(state))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (cut("model.safetensors"), "model.safetensors has .* bytes of"),
        (cut("receipt.json"), "receipt.json has .* bytes of"),
        (cut("state.json"), "state.json is not readable"),
        (flip("optimizer.safetensors"), "optimizer.safetensors has other content"),
        (edit, "state.json has other content"),
        (remove("random.safetensors"), "random.safetensors is missing"),
        (remove("state.json"), "state.json is missing"),
        (lambda folder: (folder / "state.json").write_text("[]"), "state.json is not readable"),
        (lambda folder: folder.joinpath("state.json").write_bytes(b""), "state.json is not readable"),
    ],
    ids=["cut", "cut receipt", "cut state", "flip", "edit", "remove", "remove state", "list", "empty"],
)
def test_damage_is_found_and_says_where_to_go_on(damage: Callable[[Path], None], says: str, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 1)
    damage(save(checkpoints, 2))
    with pytest.raises(CheckpointError, match=says) as caught:
        checkpoints.load()
    assert str(tmp_path / "step_000002") in caught.value.message
    assert "remove that folder and run the same command again to go on from step 1" in caught.value.todo
    assert checkpoints.load(1).step == 1
    shutil.rmtree(tmp_path / "step_000001")
    with pytest.raises(CheckpointError, match="to start over"):
        checkpoints.load()


def test_a_folder_under_another_name_and_another_format_are_refused(tmp_path: Path, monkeypatch: Any) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 1).rename(tmp_path / "step_000003")
    with pytest.raises(CheckpointError, match="belongs to another folder"):
        checkpoints.load()
    monkeypatch.setattr(module, "FORMAT", 2)
    with pytest.raises(CheckpointError, match="has format 1; this nanoplug reads format 2"):
        checkpoints.load()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_not_saved(bad: float, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    save(checkpoints, 1)
    broken = tensors()
    broken["model"]["b"][1] = bad
    with pytest.raises(NanoplugError, match="b is not finite after step 1; no checkpoint"):
        checkpoints.save(2, **broken, receipt="", state=STATE)
    assert names(tmp_path) == ["step_000001"]


def test_a_save_that_fails_leaves_nothing_and_removes_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    save(checkpoints, 1)
    real, calls = module.save_file, []

    def save_file(content: Any, path: Path) -> None:
        calls.append(path)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        real(content, path)

    monkeypatch.setattr(module, "save_file", save_file)
    with pytest.raises(NanoplugError, match="no room"):
        save(checkpoints, 2)
    assert names(tmp_path) == ["step_000001"]
    with pytest.raises(ValueError, match="JSON compliant"):
        checkpoints.save(3, **tensors(), receipt="", state={"x": math.nan})
    assert names(tmp_path) == ["step_000001"]
    assert checkpoints.load().step == 1


def test_no_file_of_a_checkpoint_is_a_pickle(tmp_path: Path) -> None:
    for path in save(Checkpoints(tmp_path), 1).iterdir():
        assert path.suffix in (".json", ".safetensors")
        assert path.read_bytes()[:2] not in (b"\x80\x02", b"\x80\x04", b"PK")
