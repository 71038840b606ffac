"""What bits per byte a small model reaches with each tokenizer, at equal compute on the same text.

    python benchmarks/tokenizer_quality.py --data DATA --target-flops 2e13 TOKENIZER_FOLDER ...

Each model is trained by `nanoplug train` with the same settings and seed and the same FLOPs, which with equal
vocabularies is the same number of tokens. All of the validation shard counts, so that the bytes are the same. A row for
each.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness import RESULTS, record, table

SETTINGS = {
    "depth": 3,
    "head-dim": 64,
    "sequence-len": 256,
    "window-pattern": "L",
    "device-batch-size": 8,
    "total-batch-size": 2048,
    "matrix-lr": 0.12,
    "embedding-lr": 2.0,
    "unembedding-lr": 0.024,
    "eval-every": 100_000,
    "eval-tokens": 1_000_000_000,
    "sample-every": -1,
}
COLUMNS = ("tokenizer", "plugin", "vocab_size", "steps", "training_tokens", "first_bpb", "bpb", "over_first")


def trained(tokenizer: Path, data: Path, target_flops: float, out: Path) -> dict[str, Any]:
    flags = [text for name, value in SETTINGS.items() for text in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "nanoplug", "train", "--data", str(data), "--tokenizer-dir", str(tokenizer)]
    subprocess.run([*command, "--out", str(out), "--target-flops", str(target_flops), *flags], check=True)
    manifest = json.loads((tokenizer / "manifest.json").read_text())
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    values = [row["val_bpb"] for row in rows if row.get("val_bpb") is not None]
    return {
        "tokenizer": tokenizer.name,
        "plugin": manifest["plugin_id"].partition(":")[2],
        "vocab_size": manifest["vocab_size"],
        "target_flops": target_flops,
        "steps": rows[-1]["step"],
        "training_tokens": rows[-1]["step"] * SETTINGS["total-batch-size"],
        "first_bpb": values[0],
        "bpb": values[-1],
        "settings": SETTINGS,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizers", nargs="+", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--target-flops", type=float, default=2e13)
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for tokenizer in given.tokenizers:
        with tempfile.TemporaryDirectory() as folder:
            row = trained(tokenizer, given.data, given.target_flops, Path(folder, "run"))
        row["over_first"] = row["bpb"] / rows[0]["bpb"] if rows else 1.0
        rows.append(record("tokenizer_quality", row, folder=given.results))
    print(table(rows, COLUMNS))


if __name__ == "__main__":
    main()
