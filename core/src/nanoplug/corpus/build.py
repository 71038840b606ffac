"""Writes the files that a scan kept as parquet shards, split into training and validation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from attrs import field, frozen

from nanoplug.corpus.source_files import Scan, SourceFile, read_source
from nanoplug.corpus.training_shards import write_training_shards
from nanoplug.data.made_folder import made_folder
from nanoplug.data.shards import Document, write_shard
from nanoplug.errors import ConfigError, DataError

REPORT_NAME = "data.json"
_FORMAT = 1


@frozen(kw_only=True)
class BuildReport:
    """What a folder of shards holds. digest: SHA-256 of the documents and of their split, as `digest_of` gives it."""

    digest: str
    train_documents: int
    train_bytes: int
    train_shards: int
    val_documents: int
    val_bytes: int
    val_fraction: float
    skipped: Mapping[str, int] = field(factory=dict)


def build_shards(scan: Scan, out: Path, *, val_fraction: float = 0.05, rebuild: bool = False) -> BuildReport:
    """Make the folder `out`: `train_NNNNN.parquet`, `val.parquet` and `data.json`, whole or not at all.

    Whether a file is for validation depends on its name alone, so it stays on its side as the tree grows; the order of
    documents is that of a hash as well. A folder that is there already is replaced only if it was made here and
    `rebuild` is set. Raises DataError if there are fewer than two files, or `out` is in the way.
    """
    with made_folder(out, mark=REPORT_NAME, rebuild=rebuild) as folder:
        train, val = _split(scan.files, val_fraction)
        train_shards = write_training_shards(folder, train, bytes_of=lambda file: file.bytes, read=_documents)
        report = BuildReport(
            digest=digest_of(scan, val_fraction),
            train_documents=len(train),
            train_bytes=sum(file.bytes for file in train),
            train_shards=train_shards,
            val_documents=len(val),
            val_bytes=sum(file.bytes for file in val),
            val_fraction=val_fraction,
            skipped=scan.skipped,
        )
        write_shard(folder / "val.parquet", _documents(val))
        content = {"format": _FORMAT, **attrs.asdict(report)}
        (folder / REPORT_NAME).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return report


def digest_of(scan: Scan, val_fraction: float) -> str:
    """The digest that a build from this scan would have: equal to `read_report(folder).digest` if nothing changed."""
    lines = sorted(f"{file.sha256} {file.name}" for file in scan.files)
    return hashlib.sha256("\n".join([f"{_FORMAT} {val_fraction!r}", *lines]).encode()).hexdigest()


def read_report(folder: Path) -> BuildReport | None:
    """What `build_shards` wrote about `folder`, or None if it did not make that folder."""
    path = folder / REPORT_NAME
    try:
        content: Any = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}.", todo="Remove the folder and build it again.") from error
    names = [field.name for field in attrs.fields(BuildReport)]
    if isinstance(content, dict):
        content.pop("index", None)  # What an indexed folder says besides.
    if not isinstance(content, dict) or content.pop("format", None) != _FORMAT or set(content) != set(names):
        raise DataError(f"{path} is not of format {_FORMAT}.", todo="Remove the folder and build it again.")
    return BuildReport(**content)


def _split(files: Sequence[SourceFile], val_fraction: float) -> tuple[list[SourceFile], list[SourceFile]]:
    if not 0 < val_fraction < 1:
        raise ConfigError(f"val_fraction is {val_fraction}; it must be above 0 and below 1.")
    if len(files) < 2:
        raise DataError(
            f"there is only {len(files)} file to train on; one for training and one for validation are needed.",
            todo="Name a folder with more source code.",
        )
    ranked = sorted(files, key=lambda file: (hashlib.sha256(file.name.encode()).hexdigest(), file.sha256))
    limit = f"{int(val_fraction * 2**64):016x}"
    count = sum(hashlib.sha256(file.name.encode()).hexdigest()[:16] < limit for file in ranked)
    count = min(max(count, 1), len(ranked) - 1)
    return ranked[count:], ranked[:count]


def _documents(files: Sequence[SourceFile]) -> Iterator[Document]:
    return (Document(file.name, read_source(file)) for file in files)
