"""Rows of results: as JSON lines that say what they are of, and as a table. Light: imports no torch."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nanoplug.whole_files import full_disk_explained

_VERSIONS = ("nanoplug", "torch", "triton")


def today() -> str:
    """UTC, as 2026-11-20."""
    return datetime.datetime.now(datetime.timezone.utc).date().isoformat()


def dated(benchmark: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """`row` with what it is of, the date, and the versions of Python, nanoplug, torch and triton in front."""
    versions = {name: version(name) for name in _VERSIONS}
    return {
        "benchmark": benchmark,
        "date": today(),
        "python": platform.python_version(),
        **{name: found for name, found in versions.items() if found},
        **row,
    }


def append(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add a JSON line for each row; the folder is made if need be."""
    with full_disk_explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8") as file:
            file.write("".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Rows as aligned text, a line of names first."""
    cells = [list(columns), *([_cell(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)
    return "\n".join(line.rstrip() for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return "" if value is None else str(value)


def version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
