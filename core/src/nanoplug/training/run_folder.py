"""The folder of a run: who may train in it, and whether what is asked now is what it was made with.

    config.toml  receipt.json  metrics.jsonl  summary.json  loss.png  report.md  checkpoints/step_NNNNNN/

`replaced/until_step_NNNNNN/` keeps the configuration and the receipt that were replaced on purpose at that step.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tomli_w

from nanoplug.config import differences, read_toml
from nanoplug.errors import RunConflict
from nanoplug.training.checkpoint import Checkpoints
from nanoplug.whole_files import full_disk_explained, new_folder, remove_leftovers, write_text

_OURS = (
    "config.toml",
    "receipt.json",
    "replaced",
    "metrics.jsonl",
    "summary.json",
    "loss.png",
    "report.md",
    "checkpoints",
    "tensorboard",
    "wandb",
)


class RunFolder:
    """Names of the files in a run folder, and the rules for going on in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.toml"
        self.receipt = path / "receipt.json"
        self.metrics = path / "metrics.jsonl"
        self.summary = path / "summary.json"
        self.report = path / "report.md"

    def checkpoints(self, *, keep: int = -1) -> Checkpoints:
        return Checkpoints(self.path / "checkpoints", keep=keep)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder, made if need be, for this process; the system lets go of it however the process ends."""
        try:
            with full_disk_explained(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
                lock = open(self.path / ".lock", "w")  # noqa: SIM115  closed below
        except OSError as error:
            raise RunConflict(
                f"{self.path} cannot be a run folder: {error.strerror or error}.",
                todo="Give --out a folder that can be written.",
            ) from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunConflict(
                    f"another process is training in {self.path}.", todo="Wait for it, stop it, or use another --out."
                ) from None
            yield

    def holds_run(self) -> bool:
        return self.config.is_file() and self.receipt.is_file()

    def check(
        self,
        config: Mapping[str, Any],
        *,
        receipt_changes: Callable[[str], list[str]],
        fresh: bool,
        accept_changes: bool,
    ) -> list[str]:
        """Whether a run with this configuration and receipt may go on or begin here; returns what it changes.

        Nothing in the folder is touched. receipt_changes: lists what differs between a stored receipt and this one.
        Raises RunConflict, listing every difference, if it holds a run made with other parts and `accept_changes` is
        not set, and if it holds no run but other files.
        """
        if not self.holds_run():
            self._refuse_strangers()
            if self.checkpoints().steps() and not fresh:
                raise RunConflict(
                    f"{self.path} holds checkpoints but no config.toml and receipt.json that say what made them.",
                    todo="Put those files back, or start over with --fresh.",
                )
            return []
        if fresh:
            return []
        stored = self.receipt.read_text(encoding="utf-8", errors="replace")
        changed = [*differences(read_toml(self.config), config), *receipt_changes(stored)]
        if changed and not accept_changes:
            raise RunConflict(
                "this run was made with other parts:",
                details=changed,
                todo="--accept-changes goes on with the new parts and records it; --fresh starts over.",
            )
        return changed

    def begin(self, config: Mapping[str, Any], receipt: str, *, fresh: bool, changed: bool) -> None:
        """Make the folder that of this run, after `check`. fresh: remove the run that is there.

        changed: keep what the run was made with until now under `replaced/`.
        """
        remove_leftovers(self.path)
        with full_disk_explained(self.config):
            if fresh:
                self._clear()
            elif changed:
                self._retire()
        # The receipt comes last: with both files there, the run has begun.
        write_text(self.config, tomli_w.dumps(config))
        write_text(self.receipt, receipt)

    def require_run(self) -> dict[str, Any]:
        """The configuration tables of the run that is here, or RunConflict."""
        if not self.holds_run():
            raise RunConflict(f"{self.path} holds no run.", todo="Give the folder that `nanoplug train --out` made.")
        return read_toml(self.config)

    def finished_at(self) -> int | None:
        """Steps of the finished run that is here, or None."""
        if not self.summary.is_file():
            return None
        try:
            return int(json.loads(self.summary.read_text(encoding="utf-8"))["steps"])
        except (ValueError, KeyError, TypeError):
            raise RunConflict(
                f"{self.summary} is damaged.", todo="Remove it; the same command then writes it and the report again."
            ) from None

    def _refuse_strangers(self) -> None:
        strangers = sorted(p.name for p in self.path.iterdir() if p.name not in _OURS and not p.name.startswith("."))
        if strangers:
            raise RunConflict(
                f"{self.path} holds no run but other files: {_some(strangers)}.",
                todo="Give --out an empty folder or that of a run.",
            )

    def _clear(self) -> None:
        # The receipt goes first: a folder without it holds no run, whatever else is left.
        for name in ("receipt.json", *(name for name in _OURS if name != "receipt.json")):
            path = self.path / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _retire(self) -> None:
        steps = self.checkpoints().steps()
        kept = self.path / "replaced" / f"until_step_{steps[-1] if steps else 0:06d}"
        kept.parent.mkdir(exist_ok=True)
        remove_leftovers(kept.parent)
        # What is kept there already is what the steps until now were made with; later changes had no step.
        if not kept.exists():
            with new_folder(kept) as folder:
                for path in (self.config, self.receipt):
                    shutil.copyfile(path, folder / path.name)
        # A run that was finished with the old parts is not finished with the new ones.
        self.summary.unlink(missing_ok=True)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
