"""What `auto` chooses for training at each usual shape, against the best of the latest rows of `nanoplug bench`.

    nanoplug bench attention --tune && nanoplug bench attention --out DIR
    python benchmarks/auto_choice.py --bench DIR

The rows must be of another run than the one that was tuned by, or the ratio says nothing. A row for each shape.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from harness import RESULTS, record, table

from nanoplug.benching.shapes import default_shapes
from nanoplug.registry import Machine, Request, discover, resolve
from nanoplug.registry.tuning import Tuning, place

COLUMNS = ("kind", "shape", "auto", "auto_ms", "best", "best_ms", "over_best", "why")


def latest(bench: Path, kind: str, device: str) -> dict[str, dict[str, dict[str, Any]]]:
    """By shape and backend, the last row of this device that has a time."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for line in (bench / "bench.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["benchmark"] == f"bench {kind}" and row["device"] == device and row["training_ms"]:
            found.setdefault(row["shape"], {})[row["name"]] = row
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, required=True, help="folder of bench.jsonl")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="bf16")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    machine, catalogue = Machine.here(), discover()
    name = place(machine, given.device)
    rows = []
    for kind in ("attention", "kernel"):
        of_shape = latest(given.bench, kind, name)
        for shape in default_shapes(kind, given.device):
            times = of_shape.get(str(shape))
            if not times:
                continue
            request: Request = shape.request(given.device, given.dtype, backward=True)
            piece = resolve(catalogue, machine, kind=kind, request=request, tuning=Tuning())
            best = min(times.values(), key=lambda row: float(row["training_ms"]))
            chosen = times[piece.name]["training_ms"]
            row = {"kind": kind, "shape": str(shape), "device": name, "auto": piece.name, "auto_ms": chosen}
            row |= {"best": best["name"], "best_ms": best["training_ms"]}
            row |= {"over_best": chosen / best["training_ms"], "why": piece.why}
            rows.append(record("auto_choice", row, folder=given.results))
    print(table(rows, COLUMNS))


if __name__ == "__main__":
    main()
