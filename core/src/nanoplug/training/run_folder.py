"""The folder of a run: who may train in it, and whether what is asked now is what it was made with.

    config.toml  receipt.json  metrics.jsonl  summary.json  loss.png  report.md  checkpoints/step_NNNNNN/

`receipts/until_step_NNNNNN.json` keeps the receipt of parts that were replaced on purpose.
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
from nanoplug.whole_files import remove_leftovers, write_text

_OURS = (
    "config.toml",
    "receipt.json",
    "receipts",
    "metrics.jsonl",
    "summary.json",
    "loss.png",
    "report.md",
    "checkpoints",
    "tensorboard",
    "wandb",
    ".lock",
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
        """Hold the folder for this process; the system lets go of it however the process ends."""
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / ".lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunConflict(
                    f"another process is training in {self.path}.", todo="Wait for it, stop it, or use another --out."
                ) from None
            yield

    def enter(
        self,
        config: Mapping[str, Any],
        receipt: str,
        *,
        receipt_changes: Callable[[str], list[str]],
        fresh: bool,
        accept_changes: bool,
    ) -> list[str]:
        """Make the folder ready for a run with this configuration and receipt; returns the accepted differences.

        receipt_changes: lists what differs between a stored receipt and this one.
        Raises RunConflict, listing every difference, if it holds a run made with other parts and `accept_changes`
        is not set, or if it holds files that are no run's. `fresh` removes the run that is there.
        """
        self._refuse_strangers()
        remove_leftovers(self.path)
        if fresh:
            self._clear()
        changed: list[str] = []
        if self.config.is_file() and self.receipt.is_file():
            old = self.receipt.read_text(encoding="utf-8")
            changed = [*differences(read_toml(self.config), config), *receipt_changes(old)]
            if changed and not accept_changes:
                raise RunConflict(
                    "this run was made with other parts:",
                    details=changed,
                    todo="--accept-changes goes on with the new parts and records it; --fresh starts over.",
                )
            if changed:
                self._retire(old)
        elif self.checkpoints().steps():
            raise RunConflict(
                f"{self.path} holds checkpoints but no config.toml and receipt.json that say what made them.",
                todo="Put those files back, or start over with --fresh.",
            )
        # The receipt comes last: with both files there, the run has begun.
        write_text(self.config, tomli_w.dumps(config))
        write_text(self.receipt, receipt)
        return changed

    def require_run(self) -> dict[str, Any]:
        """The configuration tables of the run that is here, or RunConflict."""
        if not self.config.is_file() or not self.receipt.is_file():
            raise RunConflict(f"{self.path} holds no run.", todo="Give the folder that `nanoplug train --out` made.")
        return read_toml(self.config)

    def finished_at(self) -> int | None:
        """Steps of the finished run that is here, or None."""
        if not self.summary.is_file():
            return None
        steps = json.loads(self.summary.read_text(encoding="utf-8"))["steps"]
        return int(steps)

    def _refuse_strangers(self) -> None:
        strangers = sorted(p.name for p in self.path.iterdir() if p.name not in _OURS and not p.name.startswith("."))
        if strangers:
            raise RunConflict(
                f"{self.path} holds files that are no run's: {_some(strangers)}.", todo="Give --out an empty folder."
            )

    def _clear(self) -> None:
        # The receipt goes first: a folder without it holds no run, whatever else is left.
        for name in ("receipt.json", *(name for name in _OURS if name != ".lock")):
            path = self.path / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _retire(self, receipt: str) -> None:
        steps = self.checkpoints().steps()
        folder = self.path / "receipts"
        folder.mkdir(exist_ok=True)
        write_text(folder / f"until_step_{steps[-1] if steps else 0:06d}.json", receipt)
        # A run that was finished with the old parts is not finished with the new ones.
        self.summary.unlink(missing_ok=True)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
