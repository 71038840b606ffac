"""Tokens a second that the training loader gives, from shards of tokens and from text, on CPU cores alone.

`python benchmarks/loader.py` appends a row for each case to `results/loader.jsonl`, and exits 1 if shards of tokens
give less than 1,000,000 tokens/s. The corpus is the headers inside the installed torch, whole files and, as `short`,
what stands between their empty lines; `--data` and `--tokenizer-dir` name others. `--smoke` is quick and unrecorded.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from harness import median, record, table

LEAST_TOKENS_PER_S = 1_000_000
SEQUENCE_LEN, BUFFER_DOCUMENTS, VOCAB_SIZE = 2048, 1000, 8192
COLUMNS = ("documents", "from", "workers", "batch", "split", "tokens_per_s", "tokens_per_cpu_s", "cropped", "padding")


def nanoplug(*arguments: object) -> None:
    command = [sys.executable, "-m", "nanoplug", *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def short_documents(text: Path, folder: Path) -> Path:
    """The shards of `text` with each document cut at its empty lines."""
    from nanoplug.data.shards import Document, list_shards, open_shards, texts_of, write_shard

    folder.mkdir()
    for path in list_shards(text):
        parts = (part for whole in texts_of(open_shards([path])) for part in whole.split("\n\n") if len(part) > 40)
        write_shard(folder / path.name, (Document("", part) for part in parts))
    return folder


def measured(source: Any, *, seconds: float, rounds: int) -> tuple[list[float], float]:
    """Tokens a second of each round, and tokens a second of CPU of this process over all."""
    tokens_of_batch = next(source).inputs_BT.numel()
    rates, cpu_s, tokens = [], 0.0, 0
    for _ in range(rounds):
        began, cpu_began, taken = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - began < seconds:
            next(source)
            taken += tokens_of_batch
        rates.append(taken / (time.perf_counter() - began))
        cpu_s += time.process_time() - cpu_began
        tokens += taken
    return rates, tokens / cpu_s


def case(folder: Path, tokenizer_dir: Path, *, what: dict[str, Any], seconds: float, rounds: int) -> dict[str, Any]:
    from nanoplug.cli.parts import Workshop, resolve_tokenizer
    from nanoplug.cli.worker_rendering import worker_plain_rendering
    from nanoplug.config import load_config
    from nanoplug.data.loader import TrainLoader
    from nanoplug.data.shards import split_shards

    config = load_config({}, {"tokenizer_dir": str(tokenizer_dir)}).config
    _, tokenizer = resolve_tokenizer(Workshop.of(config), tokenizer_dir)
    with TrainLoader(
        split_shards(folder)[0],
        tokenizer,
        batch_size=what["batch"],
        sequence_len=SEQUENCE_LEN,
        buffer_documents=BUFFER_DOCUMENTS,
        split_documents=what["split"],
        tokenizer_threads=1,
        tokenizer_workers=what["workers"],
        open_rendering=partial(worker_plain_rendering, config),
    ) as loader:
        rates, per_cpu_s = measured(loader, seconds=seconds, rounds=rounds)
        counts = loader.counts
    return {
        **what,
        "unit": "tokens/s",
        "tokens_per_s": round(median(rates)),
        "lowest": round(min(rates)),
        "highest": round(max(rates)),
        # Of the process that trains; tokenizer processes are not in it.
        "tokens_per_cpu_s": round(per_cpu_s),
        "cropped": round(counts.cropped_share, 4),
        "padding": round(counts.padding_share, 4),
        "tokens_per_document": round((counts.tokens + counts.cropped_tokens) / counts.documents, 1),
        "sequence_len": SEQUENCE_LEN,
        "buffer_documents": BUFFER_DOCUMENTS,
        "tokenizer": tokenizer.fingerprint[:12],
        "rounds": rounds,
        "load_average": round(os.getloadavg()[0], 1),
        "device": f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}",
    }


def cases(workers: list[int]) -> list[dict[str, Any]]:
    tokens = [
        {"documents": documents, "from": "tokens", "workers": 0, "batch": batch, "split": split}
        for documents in ("files", "short")
        for batch, split in ((32, True), (32, False), (1, True))
    ]
    text = [{"documents": "files", "from": "text", "workers": count, "batch": 32, "split": True} for count in workers]
    return tokens + text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--tokenizer-dir", type=Path)
    parser.add_argument("--workers", default="0,1,2", help="Tokenizer processes of the cases that read text.")
    parser.add_argument("--smoke", action="store_true")
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        text, tokenizer = given.data or Path(scratch, "text"), given.tokenizer_dir or Path(scratch, "tokenizer")
        if not given.data:
            nanoplug("data", "build", "--out", text)
        if not given.tokenizer_dir:
            nanoplug("tokenizer", "train", "--data", text, "--vocab-size", VOCAB_SIZE, "--out", tokenizer)
        folders = {("files", "text"): text, ("short", "text"): short_documents(text, Path(scratch, "short"))}
        for documents in ("files", "short"):
            made = folders[documents, "tokens"] = Path(scratch, f"tokens-{documents}")
            source = folders[documents, "text"]
            nanoplug("data", "tokenize", "--data", source, "--tokenizer-dir", tokenizer, "--out", made)
        for what in cases([int(count) for count in given.workers.split(",")]):
            folder = folders[what["documents"], what["from"]]
            seconds, rounds = (0.2, 1) if given.smoke else (2.0, 5)
            row = case(folder, tokenizer, what=what, seconds=seconds, rounds=rounds)
            rows.append(row if given.smoke else record("loader", row))
    print(table(rows, COLUMNS))
    return int(any(row["from"] == "tokens" and row["tokens_per_s"] < LEAST_TOKENS_PER_S for row in rows))


if __name__ == "__main__":
    sys.exit(main())
