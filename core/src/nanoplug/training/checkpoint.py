"""Checkpoints: folders `step_NNNNNN` that are whole or absent, with every file's size and hash.

A folder holds `model.safetensors` (fp32 master weights by parameter name), `optimizer.safetensors`
(`<parameter>/<state>`, full shapes), `random.safetensors` (random states by name), `receipt.json` and
`state.json`, which is the index: format, step, model and run configuration, loader and metrics state, for each
other file its bytes and SHA-256, and the SHA-256 of all that.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from nanoplug.errors import CheckpointError, NanoplugError
from nanoplug.whole_files import SUFFIX, full_disk_explained, new_folder, remove_leftovers

FORMAT = 1
_NAME = re.compile(r"step_(\d{6,})")
_TENSOR_FILES = ("model", "optimizer", "random")


@frozen(kw_only=True)
class Checkpoint:
    """One whole checkpoint, read back. Tensors are on the CPU; `state` is the content of `state.json`."""

    step: int
    folder: Path
    state: Mapping[str, Any]
    model: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    random: Mapping[str, Tensor]


class Checkpoints:
    """The checkpoints of one run. keep: how many of the latest remain after `tidy`; -1 keeps all."""

    def __init__(self, folder: Path, *, keep: int = -1) -> None:
        self.folder = folder
        self.keep = keep

    def steps(self) -> list[int]:
        """Steps that have a checkpoint folder, ascending by number."""
        if not self.folder.is_dir():
            return []
        return sorted(int(match[1]) for path in self.folder.iterdir() if (match := _NAME.fullmatch(path.name)))

    def path(self, step: int) -> Path:
        return self.folder / f"step_{step:06d}"

    def save(
        self,
        step: int,
        *,
        model: Mapping[str, Tensor],
        optimizer: Mapping[str, Tensor],
        random: Mapping[str, Tensor],
        receipt: str,
        state: Mapping[str, Any],
    ) -> Path:
        """Write a whole checkpoint, then `tidy`. A failed save leaves all others as they were.

        Raises NanoplugError when the disk is full, and when a weight is not finite: from such weights nothing could
        go on.
        """
        _require_finite(step, model)
        with full_disk_explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self.folder)
        target = self.path(step)
        with new_folder(target) as folder:
            for name, tensors in zip(_TENSOR_FILES, (model, optimizer, random), strict=True):
                detached = {key: tensor.detach().contiguous() for key, tensor in tensors.items()}
                save_file(detached, _tensors(folder, name))
            (folder / "receipt.json").write_text(receipt, encoding="utf-8")
            files = {path.name: _measure(path) for path in sorted(folder.iterdir())}
            index = {"format": FORMAT, "step": step, **state, "files": files}
            index["sha256"] = _digest(index)
            (folder / "state.json").write_text(json.dumps(index, indent=1, allow_nan=False), encoding="utf-8")
        self.tidy()
        return target

    def tidy(self) -> None:
        """Remove what killed processes left, and checkpoints beyond `keep`. Only once the latest is known to be whole.

        For the one process that trains here.
        """
        if self.folder.is_dir():
            remove_leftovers(self.folder)
        if self.keep > 0:
            for old in self.steps()[: -self.keep]:
                self._remove(old)

    def load(self, step: int | None = None, *, tensors: tuple[str, ...] = _TENSOR_FILES) -> Checkpoint:
        """Read a checkpoint, the latest by default, after checking every byte of what is read.

        tensors: which of `model`, `optimizer` and `random` to read; the others come back empty.
        Raises CheckpointError that says what to do if there is none or if it is damaged.
        """
        steps = self.steps()
        if step is None:
            if not steps:
                raise CheckpointError(
                    f"no checkpoint in {self.folder}.", todo="Train first, or check the path of the run."
                )
            step = steps[-1]
        elif step not in steps:
            held = ", ".join(map(str, steps)) or "none"
            raise CheckpointError(f"no checkpoint of step {step} in {self.folder}.", todo=f"Steps there: {held}.")
        folder = self.path(step)
        state = self._index(folder, step)
        for name, expected in state["files"].items():
            if name.removesuffix(".safetensors") in tensors or not name.endswith(".safetensors"):
                self._check(folder / name, expected)
        try:
            read = {name: load_file(_tensors(folder, name)) if name in tensors else {} for name in _TENSOR_FILES}
        except (SafetensorError, OSError) as error:
            raise self._damaged(folder, f"tensors cannot be read ({error})") from None
        return Checkpoint(step=step, folder=folder, state=state, **read)

    def _index(self, folder: Path, step: int) -> dict[str, Any]:
        try:
            state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
            version, said, files, digest = state["format"], state["step"], state["files"], state["sha256"]
        except FileNotFoundError:
            raise self._damaged(folder, "state.json is missing") from None
        except (OSError, ValueError, KeyError, TypeError):
            raise self._damaged(folder, "state.json is not readable") from None
        if version != FORMAT:
            raise CheckpointError(
                f"{folder} has format {version}; this nanoplug reads format {FORMAT}.",
                todo="Use the nanoplug version that wrote it (receipt.json names it).",
            )
        if digest != _digest(state):
            raise self._damaged(folder, "state.json has other content than was written")
        if said != step or not {f"{name}.safetensors" for name in _TENSOR_FILES} <= set(files):
            raise self._damaged(folder, "state.json belongs to another folder")
        return dict(state)

    def _check(self, path: Path, expected: Mapping[str, Any]) -> None:
        if not path.is_file():
            raise self._damaged(path.parent, f"{path.name} is missing")
        size = path.stat().st_size
        if size != expected["bytes"]:
            raise self._damaged(path.parent, f"{path.name} has {size:,} bytes of {expected['bytes']:,}")
        if _measure(path) != expected:
            raise self._damaged(path.parent, f"{path.name} has other content than was written")

    def _damaged(self, folder: Path, what: str) -> CheckpointError:
        others = [step for step in self.steps() if self.path(step) != folder]
        then = f"go on from step {others[-1]}" if others else "start over"
        return CheckpointError(
            f"checkpoint {folder} is damaged: {what}.",
            todo=f"Restore it from a copy, or remove that folder and run the same command again to {then}.",
        )

    def _remove(self, step: int) -> None:
        # Renamed first, so that a kill in between leaves no folder that looks like a checkpoint.
        doomed = self.folder / f".{self.path(step).name}.removed{SUFFIX}"
        self.path(step).rename(doomed)
        shutil.rmtree(doomed)


def _require_finite(step: int, model: Mapping[str, Tensor]) -> None:
    for name, tensor in model.items():
        if not bool(tensor.isfinite().all()):
            raise NanoplugError(
                f"{name} is not finite after step {step - 1}; no checkpoint is written of that.",
                todo="Earlier checkpoints are intact. Lower the learning rates, or use --precision fp32.",
            )


def _digest(index: Mapping[str, Any]) -> str:
    """SHA-256 of the index but for its own `sha256`."""
    rest = {key: value for key, value in index.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _tensors(folder: Path, name: str) -> Path:
    return folder / f"{name}.safetensors"


def _measure(path: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 22):
            digest.update(chunk)
    return {"bytes": path.stat().st_size, "sha256": digest.hexdigest()}
