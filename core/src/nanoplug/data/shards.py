"""Parquet shards of documents: a `text` column, and `path` beside it for the reader's eye.

Shards are sorted by name; the last one is for validation, the others are for training. Row groups are what ranks share
out, so they are small.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from attrs import field, frozen

from nanoplug.errors import DataError

ROW_GROUP_DOCUMENTS = 64
_SCHEMA = pa.schema([("text", pa.string()), ("path", pa.string())])
_BUILD = "Build the data again with `nanoplug data build`, or name another folder."


@frozen
class Document:
    """A text, and where it came from."""

    path: str
    text: str


@frozen
class Group:
    """One row group of one shard."""

    shard: Path
    index: int
    rows: int


@frozen
class Shards:
    """Opened shards: every row group in order, and what tells this content from another.

    digest: SHA-256 over the names, sizes and footers of the files; a shard made here has its texts' hash in its footer.
    """

    paths: tuple[Path, ...]
    groups: tuple[Group, ...] = field(repr=False)
    digest: str

    @property
    def documents(self) -> int:
        return sum(group.rows for group in self.groups)


def write_shard(path: Path, documents: Iterable[Document], *, row_group_documents: int = ROW_GROUP_DOCUMENTS) -> int:
    """Write one shard and return how many documents it has. For a folder that nobody reads yet."""
    digest = hashlib.sha256()
    written = 0
    with pq.ParquetWriter(path, _SCHEMA, compression="zstd") as writer:
        group: list[Document] = []
        for document in documents:
            digest.update(hashlib.sha256(document.text.encode("utf-8")).digest())
            group.append(document)
            written += 1
            if len(group) == row_group_documents:
                _write_group(writer, group)
                group = []
        if group:
            _write_group(writer, group)
        writer.add_key_value_metadata({"nanoplug.texts_sha256": digest.hexdigest()})
    return written


def list_shards(folder: Path) -> list[Path]:
    """The `*.parquet` files of `folder`, sorted by name; temporaries are not among them.

    Raises DataError unless there are at least two: the last one is for validation.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; it should hold parquet shards.", todo=_BUILD)
    shards = sorted(path for path in folder.glob("*.parquet") if path.is_file() and not path.name.startswith("."))
    if len(shards) < 2:
        raise DataError(
            f"{folder} holds {len(shards)} parquet shard(s); at least two are needed: the last one is for validation,"
            " the others are for training.",
            todo="Build the data with `nanoplug data build --source DIR --out FOLDER`, or add a shard.",
        )
    return shards


def split_shards(folder: Path) -> tuple[list[Path], list[Path]]:
    """Training shards and the validation shard of `folder`."""
    shards = list_shards(folder)
    return shards[:-1], shards[-1:]


def open_shards(paths: Sequence[Path]) -> Shards:
    """Read the footers of `paths`. Raises DataError if one is missing, damaged, or has no text column of strings."""
    groups: list[Group] = []
    digest = hashlib.sha256()
    for path in paths:
        with _open(path) as file:
            _check_schema(path, file.schema_arrow)
            metadata = file.metadata
            groups += [Group(path, i, metadata.row_group(i).num_rows) for i in range(metadata.num_row_groups)]
        digest.update(f"{path.name} {path.stat().st_size} ".encode())
        digest.update(_footer(path))
    if not sum(group.rows for group in groups):
        raise DataError(f"{', '.join(path.name for path in paths) or 'no shard'}: there is no document.", todo=_BUILD)
    return Shards(tuple(paths), tuple(groups), digest.hexdigest())


def read_texts(group: Group) -> list[str]:
    """The texts of one row group. Raises DataError if it is damaged or a text is missing."""
    try:
        with _open(group.shard) as file:
            texts: list[str | None] = file.read_row_group(group.index, columns=["text"]).column("text").to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{group.shard}: row group {group.index} is damaged: {error}.", todo=_BUILD) from error
    if None in texts:
        raise DataError(f"{group.shard}: row {texts.index(None)} of row group {group.index} has no text.", todo=_BUILD)
    return [text for text in texts if text is not None]


def texts_of(shards: Shards) -> Iterator[str]:
    """Every text, in order; one row group is held at a time."""
    for group in shards.groups:
        yield from read_texts(group)


def _write_group(writer: Any, group: Sequence[Document]) -> None:
    columns = [[document.text for document in group], [document.path for document in group]]
    writer.write_table(pa.table(columns, schema=_SCHEMA), row_group_size=len(group))


def _open(path: Path) -> Any:
    try:
        return pq.ParquetFile(path)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.", todo=_BUILD) from None
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a whole parquet file: {error}.", todo=_BUILD) from error


def _check_schema(path: Path, schema: Any) -> None:
    if "text" not in schema.names:
        raise DataError(
            f"{path} has no column named text; it has {', '.join(schema.names) or 'none'}.",
            todo="Rename the column that holds the documents to text.",
        )
    kind = schema.field("text").type
    if kind not in (pa.string(), pa.large_string()):
        raise DataError(f"{path}: column text is of type {kind}; it must be string.", todo=_BUILD)


def _footer(path: Path) -> bytes:
    with open(path, "rb") as file:
        file.seek(-8, 2)
        (length,) = struct.unpack("<I", file.read(4))
        file.seek(-8 - length, 2)
        return file.read(length)
