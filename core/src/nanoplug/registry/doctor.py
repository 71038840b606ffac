"""Checks an installation as a whole: what the machine has, and whether each plugin is right."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from attrs import frozen

from nanoplug.registry.machine import Machine
from nanoplug.registry.rows import Row


@frozen
class Check:
    """One finding. `ok` is False for what somebody should mend."""

    name: str
    ok: bool
    detail: str


def check(rows: Sequence[Row], machine: Machine, base: Path, refused: Iterable[tuple[str, str]]) -> list[Check]:
    """The machine's facts, the base folder, then each row of `rows`; `refused`: (plugin id, why) of commands."""
    found = [
        Check("nanoplug", True, importlib.metadata.version("nanoplug")),
        Check("python", True, f"{machine.python} on {machine.platform}"),
        Check("torch", True, machine.distribution("torch") or "not installed: pip install 'nanoplug[train]'"),
        *(Check(f"device {name}", True, "present") for name in machine.devices),
        *(Check("gpu", True, f"{gpu.name}, compute capability {gpu.compute_capability}") for gpu in machine.gpus),
        *(Check(f"device {name}", True, f"absent: {why}") for name, why in machine.absent.items()),
        Check("c++ compiler", True, shutil.which("g++") or shutil.which("clang++") or "none: torch.compile needs one"),
        _base_folder(base),
    ]
    found += [Check(f"{row.kind or 'plugin'} {row.id}", not row.is_wrong, _detail(row)) for row in rows]
    found += [Check(f"command of {who}", False, text) for who, text in refused]
    return found


def _base_folder(base: Path) -> Check:
    try:
        base.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=base):
            pass
    except OSError as error:
        return Check("base folder", False, f"{base} cannot be written: {error}; set NANOPLUG_BASE_DIR to one that can")
    free_gib = shutil.disk_usage(base).free / 2**30
    return Check("base folder", True, f"{os.fspath(base)}, {free_gib:,.1f} GiB free")


def _detail(row: Row) -> str:
    return (
        f"{row.status}: {'; '.join(row.reasons)}" if row.reasons else f"{row.status}, {row.distribution} {row.version}"
    )
