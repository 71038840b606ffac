"""What every benchmark shares: timing that waits for the device, pairing, and rows that say where they are from."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
_VERSIONS = ("nanoplug", "torch", "triton")


def record(name: str, row: dict[str, Any], *, folder: Path = RESULTS) -> dict[str, Any]:
    """Append `row` to `<folder>/<name>.jsonl`, with date, commit, versions and machine; returns the whole row."""
    versions = {what: _version(what) for what in _VERSIONS}
    whole = {
        "benchmark": name,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "commit": _commit(),
        "python": platform.python_version(),
        **{key: value for key, value in versions.items() if value},
        **row,
    }
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{name}.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(whole) + "\n")
    return whole


def seconds(function: Callable[[], Any], wait: Callable[[], None]) -> float:
    """Wall time of one call, the device idle before and after."""
    wait()
    began = time.perf_counter()
    function()
    wait()
    return time.perf_counter() - began


def in_turn(
    functions: Sequence[Callable[[], Any]], wait: Callable[[], None], *, rounds: int, warmup: int
) -> list[list[float]]:
    """Seconds of each function in each round; the order turns from round to round, so that drift hits all alike."""
    for _ in range(warmup):
        for function in functions:
            function()
    times: list[list[float]] = [[] for _ in functions]
    for turn in range(rounds):
        for offset in range(len(functions)):
            index = (turn + offset) % len(functions)
            times[index].append(seconds(functions[index], wait))
    return times


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    """Rows as aligned text, last of what a benchmark prints."""
    cells = [list(columns), *([_cell(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return "" if value is None else str(value)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str:
    """The commit that is measured, marked if files differ from it; empty where it cannot be known.

    A host that gets the tree without its history reads it from a file `COMMIT` beside this one.
    """
    here = Path(__file__).parent
    if (here / "COMMIT").is_file():
        return (here / "COMMIT").read_text().strip()
    asked = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return answer.stdout.strip()
