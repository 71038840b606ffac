"""A folder of shards for training and validation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from nanoplug.corpus.build import REPORT_NAME, BuildReport
from nanoplug.corpus.document_spool import DocumentSpool
from nanoplug.corpus.index_output import FORMAT, PAIRS_NAME, Split, pair_lines
from nanoplug.corpus.training_shards import write_training_shards
from nanoplug.data.fim_pairs import Pair
from nanoplug.data.shards import Document, write_shard
from nanoplug.errors import ConfigError, DataError

_BESIDES = ("val_projects", "pairs")


class ShardFolder:
    """`train_NNNNN.parquet`, `val.parquet`, `fim_pairs.jsonl` and `data.json` in `folder`, which nobody reads yet.

    Whole projects are held out, by a hash of their names; what was added as held out is in any case. Documents are in
    the order of a hash, so that neighbours come from everywhere.
    """

    splits = True

    def __init__(self, folder: Path, *, val_fraction: float) -> None:
        if not 0 < val_fraction < 1:
            raise ConfigError(f"val_fraction is {val_fraction}; it must be above 0 and below 1.")
        self._folder, self._val_fraction = folder, val_fraction
        self._spool = DocumentSpool(folder)

    def known(self) -> set[bytes]:
        return set()

    def add(self, document: Document, *, held_out: bool) -> None:
        self._spool.add(document, held_out=held_out)

    def restart(self) -> None:
        self._spool.close()
        self._spool = DocumentSpool(self._folder)

    def finish(self, pairs: Mapping[str, Sequence[Pair]], report: Mapping[str, Any]) -> Split:
        places = sorted(self._spool.places, key=lambda place: place.key)
        projects = _held_out_projects({place.project for place in places}, self._val_fraction)
        val = [place for place in places if place.held_out or place.project in projects]
        train = [place for place in places if not (place.held_out or place.project in projects)]
        if not train or not val:
            raise DataError(
                f"{len(places)} document(s) were made, {len(train)} for training and {len(val)} for validation; there"
                " must be some of both.",
                todo="Name more source code, or write JSON lines: --output FILE.jsonl.",
            )
        lines = pair_lines(pairs, without=projects)
        train_shards = write_training_shards(
            self._folder, train, bytes_of=lambda place: place.text_bytes, read=self._spool.read, origins=True
        )
        write_shard(self._folder / "val.parquet", self._spool.read(val), origins=True)
        self._spool.close()
        split = Split(
            train_documents=len(train),
            train_bytes=sum(place.text_bytes for place in train),
            val_documents=len(val),
            val_bytes=sum(place.text_bytes for place in val),
            val_projects=tuple(sorted(projects)),
            train_shards=train_shards,
            pairs=len(lines),
        )
        if lines:
            (self._folder / PAIRS_NAME).write_text("".join(lines), encoding="utf-8")
        self._write_report(split, report)
        return split

    def _write_report(self, split: Split, report: Mapping[str, Any]) -> None:
        digest = hashlib.sha256()
        for path in sorted(self._folder.glob("*.parquet")):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        shown = {name: value for name, value in attrs.asdict(split).items() if name not in _BESIDES}
        built = BuildReport(
            digest=digest.hexdigest(), val_fraction=self._val_fraction, skipped=report["left_out"], **shown
        )
        index = {**report, **{name: getattr(split, name) for name in _BESIDES}}
        content = {"format": FORMAT, **attrs.asdict(built), "index": index}
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        (self._folder / REPORT_NAME).write_text(text, encoding="utf-8")


def _held_out_projects(projects: Collection[str], fraction: float) -> set[str]:
    """Of several projects those for validation; none of a single one."""
    if len(projects) < 2:
        return set()
    ranked = sorted(projects, key=lambda name: (hashlib.sha256(name.encode()).hexdigest(), name))
    limit = f"{int(fraction * 2**64):016x}"
    count = sum(hashlib.sha256(name.encode()).hexdigest()[:16] < limit for name in ranked)
    return set(ranked[: min(max(count, 1), len(ranked) - 1)])
