"""What every benchmark shares: rows that say where they are from. Timing and tables are those of `nanoplug bench`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nanoplug.benching import results, timing
from nanoplug.benching.results import table
from nanoplug.benching.timing import median

__all__ = ["RESULTS", "in_turn", "median", "record", "table"]

RESULTS = Path(__file__).parent / "results"


def record(name: str, row: dict[str, Any], *, folder: Path = RESULTS) -> dict[str, Any]:
    """Append `row` to `<folder>/<name>.jsonl`, with date, commit, versions and machine; returns the whole row."""
    whole = {**results.dated(name, {"commit": _commit()}), **row}
    results.append(folder / f"{name}.jsonl", [whole])
    return whole


def in_turn(
    functions: Sequence[Callable[[], Any]], wait: Callable[[], None], *, rounds: int, warmup: int
) -> list[list[float]]:
    """Seconds of each function in each round, the device idle before and after each call."""
    return timing.in_turn(functions, lambda function: timing.seconds(function, wait), rounds=rounds, warmup=warmup)


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
