"""The backends of this repository against each other on the CPU, from measuring to being chosen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nanoplug.conformance import kit


@pytest.mark.parametrize(
    ("kind", "names", "shape", "asked"),
    [
        (
            "attention",
            {"sdpa", "chunked"},
            "B=2,T=32,H=4,G=2,D=8,window=9",
            "head_dim=8,heads=4,kv_heads=2,tokens=32,window=9",
        ),
        ("kernel", {"torch", "chunked"}, "N=64,D=16,V=100,softcap=15", "rows=64,width=16,vocabulary=100,softcap"),
    ],
)
def test_measured_then_chosen(
    kind: str,
    names: set[str],
    shape: str,
    asked: str,
    run_here: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NANOPLUG_BASE_DIR", str(tmp_path))
    laws = kit.laws_for
    monkeypatch.setattr(kit, "laws_for", lambda kind: laws(kind)[:1])
    arguments = ("--shapes", shape, "--backends", ",".join(sorted(names)), "--device", "cpu", "--rounds", "3")
    result = run_here("bench", kind, *arguments, "--tune", "--json")
    assert result.exit_code == 0, result.output
    rows = {row["name"]: row for row in json.loads(result.stdout)}
    assert set(rows) == names
    for row in rows.values():
        assert (row["failed"], row["shape"]) == ("", shape)
        assert row["forward_ms"] > 0
        assert row["training_ms"] > 0
        assert row["peak_mib"] > 0
        assert row["output_error"] < 1e-5
        assert row["gradient_error"] < 1e-5
    best = min(rows.values(), key=lambda row: row["training_ms"])
    explained = run_here("explain", kind, "--on", f"cpu,dtype=fp32,backward,{asked}", "--json")
    document = json.loads(explained.stdout)
    assert document["chosen"] == best["name"]
    (chosen,) = [one for one in document["candidates"] if one["name"] == best["name"]]
    assert chosen["tuned"]["ms"] == best["training_ms"]
