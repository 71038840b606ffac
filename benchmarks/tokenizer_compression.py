"""Bytes per token and speed of trained tokenizers on C++ that none of them has seen.

    python benchmarks/tokenizer_compression.py --held-out DIR [--held-out DIR ...] TOKENIZER [TOKENIZER ...]
    python benchmarks/tokenizer_compression.py --held-out DIR --train DATA --vocab-size 32768 --work DIR

TOKENIZER is a folder made by `nanoplug tokenizer train`. --train makes them first, from the training shards in DATA:
bpe, and cpp with and without superwords, into --work. Speed is bytes over the CPU seconds of one thread, so that a busy
machine counts less: `first` on text that the process has not seen, `again` on the same text. Rows go to
results/tokenizers.jsonl.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

# Read by the engines' thread pools when they start: one thread is measured.
os.environ["RAYON_NUM_THREADS"] = "1"

import harness

import nanoplug
from nanoplug.contracts import Tokenizer
from nanoplug.data.tokenizer_folder import open_tokenizer

SUFFIXES = {".c", ".cc", ".cpp", ".cxx", ".h", ".hh", ".hpp", ".hxx", ".inc", ".inl", ".ipp", ".cu", ".cuh"}
FAMILIES = (("bpe", ()), ("cpp", ()), ("cpp", ("superwords=true",)))
ROUNDS = 3


def sources(folders: list[Path]) -> list[bytes]:
    """The C and C++ files below `folders`, in order of their paths."""
    paths = sorted(path for folder in folders for path in folder.rglob("*") if path.suffix in SUFFIXES)
    return [path.read_bytes() for path in paths if path.is_file()]


def trained(data: Path, vocab_sizes: list[int], work: Path) -> list[Path]:
    """Tokenizers of each family and size, trained with the command that users have."""
    folders = []
    for size in vocab_sizes:
        for family, options in FAMILIES:
            folder = work / "-".join((family, str(size), *(option.split("=")[0] for option in options)))
            given = [part for option in options for part in ("--option", option)]
            command = [
                "train",
                "--data",
                str(data),
                "--vocab-size",
                str(size),
                "--out",
                str(folder),
                "--tokenizer",
                family,
            ]
            subprocess.run([sys.executable, "-m", "nanoplug", "tokenizer", *command, *given], check=True)
            folders.append(folder)
    return folders


def measured(tokenizer: Tokenizer, texts: list[bytes]) -> dict[str, Any]:
    """Bytes per token, MB/s of CPU time and whether all texts come back."""
    total = sum(map(len, texts))
    started = time.process_time()
    ids = [tokenizer.encode(text) for text in texts]
    first_s = time.process_time() - started
    again_s = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for text in texts:
            tokenizer.encode(text)
        again_s.append(time.process_time() - started)
    return {
        "vocab_size": tokenizer.vocab_size,
        "bytes_per_token": round(total / sum(map(len, ids)), 4),
        "first_mb_per_cpu_s": round(total / 1e6 / first_s, 1),
        "again_mb_per_cpu_s": round(total / 1e6 / statistics.median(again_s), 1),
        "round_trip": all(tokenizer.decode_bytes(found) == text for found, text in zip(ids, texts, strict=True)),
        "fingerprint": tokenizer.fingerprint,
        "engine": getattr(tokenizer, "engine", ""),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizers", nargs="*", type=Path)
    parser.add_argument("--held-out", action="append", type=Path, required=True)
    parser.add_argument("--train", type=Path)
    parser.add_argument("--vocab-size", action="append", type=int)
    parser.add_argument("--work", type=Path)
    asked = parser.parse_args()
    if asked.train and not asked.work:
        parser.error("--train needs --work, a folder for the tokenizers")
    texts = sources(asked.held_out)
    folders = list(asked.tokenizers)
    if asked.train:
        folders += trained(asked.train, asked.vocab_size or [32_768], asked.work)
    rows = []
    for folder in folders:
        tokenizer = open_tokenizer(folder, lambda plugin_id: nanoplug.load("tokenizer", plugin_id))
        found = {
            "tokenizer": folder.name,
            "files": len(texts),
            "bytes": sum(map(len, texts)),
            **measured(tokenizer, texts),
        }
        rows.append(harness.record("tokenizers", found))
    columns = ("tokenizer", "vocab_size", "bytes_per_token", "first_mb_per_cpu_s", "again_mb_per_cpu_s", "round_trip")
    print(harness.table(rows, columns))


if __name__ == "__main__":
    main()
