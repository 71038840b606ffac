from __future__ import annotations

import json
from pathlib import Path

import pytest

from nanoplug.benching.results import append, dated, table


def test_rows_are_added_and_say_what_they_are_of(tmp_path: Path) -> None:
    path = tmp_path / "new" / "bench.jsonl"
    append(path, [dated("bench x", {"ms": 1.5})])
    append(path, [{"ms": 2.5}, {"ms": None}])
    first, second, third = map(json.loads, path.read_text().splitlines())
    assert first["benchmark"] == "bench x"
    assert {"date", "python", "nanoplug", "torch"} <= set(first)
    assert (first["ms"], second["ms"], third["ms"]) == (1.5, 2.5, None)


def test_what_json_cannot_say_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        append(tmp_path / "rows.jsonl", [{"ms": float("nan")}])


def test_a_table_is_aligned() -> None:
    text = table([{"name": "a", "ms": 1.23456}, {"name": "longer", "ms": 12345.6, "why": None}], ["name", "ms"])
    assert text.splitlines() == ["name    ms", "a       1.235", "longer  12,346"]
