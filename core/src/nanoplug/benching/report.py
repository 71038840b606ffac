"""What is made of results: rows, tables, and profiles for `auto`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nanoplug.benching.measure import Result, Terms
from nanoplug.benching.results import dated, table, today
from nanoplug.registry.tuning import Profile, Time

COLUMNS = {
    "name": "backend",
    "forward_ms": "forward ms",
    "training_ms": "forward+backward ms",
    "over_best": "x best",
    "peak_mib": "MiB above inputs",
    "output_error": "output error",
    "gradient_error": "gradient error",
    "failed": "",
}


def rows(kind: str, results: Sequence[Result], terms: Terms, *, device_name: str) -> list[dict[str, Any]]:
    """A row of plain values for each result of one shape."""
    best = min((result.ms for result in results if not result.failed), default=None)
    return [
        dated(
            f"bench {kind}",
            {
                "device": device_name,
                "device_type": terms.device,
                "dtype": terms.dtype,
                "shape": str(result.shape),
                "name": result.contender.name,
                "id": result.contender.id,
                "version": result.contender.version,
                "made_of": dict(result.contender.made_of),
                "compiled": result.compiled,
                "rounds": terms.rounds,
                "unit": "ms, median",
                "forward_ms": result.forward_ms,
                "training_ms": result.training_ms,
                "least_ms": result.least_ms,
                "over_best": None if result.failed or not best else result.ms / best,
                "peak_mib": result.peak_mib,
                "beyond_results_mib": result.beyond_results_mib,
                "output_error": result.output_error,
                "gradient_error": result.gradient_error,
                "failed": result.failed,
            },
        )
        for result in results
    ]


def shown(of_shape: Sequence[Mapping[str, Any]]) -> str:
    """The table of one shape; a column that nobody has a value for is left out."""
    named = [{COLUMNS[key]: row[key] or None for key in COLUMNS} for row in of_shape]
    columns = [title for title in COLUMNS.values() if any(row[title] is not None for row in named)]
    return table(named, columns)


def profile(results: Sequence[Result]) -> Profile:
    """What `auto` is to know of one shape."""
    return Profile(
        date=today(),
        shape=str(results[0].shape),
        compiled=any(result.compiled for result in results),
        times={
            result.contender.id: Time(
                made_of=dict(result.contender.made_of),
                forward_ms=result.forward_ms,
                training_ms=result.training_ms,
                failed=result.failed,
            )
            for result in results
        },
    )
