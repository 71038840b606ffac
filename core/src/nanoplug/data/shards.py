"""Parquet shards of documents: a `text` column, and `path` beside it for the reader's eye.

Row groups are what ranks share out, so they are small. Where shards of tokens stand in for
them, `*.bin`, see `token_shards`.
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
_ORIGINS_SCHEMA = pa.schema([*_SCHEMA, ("project", pa.string()), ("usr", pa.string())])
TEXT_SUFFIX, TOKENS_SUFFIX = ".parquet", ".bin"
_BUILD = "Build the data again with `nanoplug data build`, or name another folder."


@frozen
class Document:
    """A text, and where it came from. usr: the key of the definition that it is about, in `project`."""

    path: str
    text: str
    project: str = ""
    usr: str = ""


@frozen
class Group:
    """One row group of one shard."""

    shard: Path
    index: int
    rows: int


@frozen(eq=False)
class TextShard:
    """One opened shard. digest: SHA-256 over its name, size and footer. group_documents: rows of each row group."""

    path: Path
    digest: str
    group_documents: tuple[int, ...] = field(repr=False)


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


def write_shard(
    path: Path,
    documents: Iterable[Document],
    *,
    row_group_documents: int = ROW_GROUP_DOCUMENTS,
    origins: bool = False,
) -> int:
    """Write one shard and return how many documents it has. For a folder that nobody reads yet.

    origins: also write the columns project and usr.
    """
    digest = hashlib.sha256()
    written = 0
    with pq.ParquetWriter(path, _ORIGINS_SCHEMA if origins else _SCHEMA, compression="zstd") as writer:
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


def shards_in(folder: Path) -> list[Path]:
    """The `*.parquet` files of `folder`, or else its `*.bin` files, sorted by name; temporaries are not among them.

    Raises DataError if `folder` is none, or holds both kinds.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; it should hold shards.", todo=_BUILD)
    files = [path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file()]
    text, tokens = ([path for path in files if path.suffix == suffix] for suffix in (TEXT_SUFFIX, TOKENS_SUFFIX))
    if text and tokens:
        raise DataError(
            f"{folder} holds both shards of text ({text[0].name}, ...) and of tokens ({tokens[0].name}, ...).",
            todo="Keep them in folders of their own.",
        )
    return sorted(text or tokens)


def list_shards(folder: Path) -> list[Path]:
    """`shards_in(folder)`; raises DataError too unless there are at least two, so that one is for validation."""
    shards = shards_in(folder)
    if len(shards) < 2:
        raise DataError(
            f"{folder} holds {len(shards)} shard(s), {TEXT_SUFFIX} or {TOKENS_SUFFIX}; at least two are needed: one for"
            " validation, the others for training.",
            todo="Build the data with `nanoplug data build --source DIR --out FOLDER`, or add a shard.",
        )
    return shards


def split_shards(folder: Path, *, validation: Sequence[str] | None = None) -> tuple[list[Path], list[Path]]:
    """Training shards and validation shards of `folder`: those whose names start with `val`, or else the last one.

    validation: names that were chosen before.
    """
    shards = list_shards(folder)
    if validation is not None:
        return [path for path in shards if path.name not in validation], [folder / name for name in validation]
    held_out = validation_among(shards)
    training = [path for path in shards if path not in held_out]
    if not training:
        raise DataError(
            f"all {len(shards)} shards in {folder} have names that start with val, so none is for training.",
            todo="Rename those that are to be trained on.",
        )
    return training, held_out


def validation_among(shards: Sequence[Path]) -> list[Path]:
    return [path for path in shards if is_for_validation(path)] or list(shards[-1:])


def is_for_validation(path: Path) -> bool:
    """Whether its name says so."""
    return path.name.startswith("val")


def open_shard(path: Path) -> TextShard:
    """Read the footer of `path`. Raises DataError if it is missing, damaged, or has no text column of strings."""
    with _open(path) as file:
        _check_schema(path, file.schema_arrow)
        metadata = file.metadata
        rows = tuple(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))
    return TextShard(path, hashlib.sha256(_identity(path)).hexdigest(), rows)


def open_shards(paths: Sequence[Path]) -> Shards:
    """Open `paths` as `open_shard` does; raises DataError too if there is no document in any."""
    groups: list[Group] = []
    digest = hashlib.sha256()
    for path in paths:
        rows = open_shard(path).group_documents
        groups += [Group(path, index, count) for index, count in enumerate(rows)]
        digest.update(_identity(path))
    if not sum(group.rows for group in groups):
        raise no_document(paths)
    return Shards(tuple(paths), tuple(groups), digest.hexdigest())


def no_document(paths: Sequence[Path]) -> DataError:
    return DataError(f"{', '.join(path.name for path in paths) or 'no shard'}: there is no document.", todo=_BUILD)


def read_texts(group: Group) -> list[str]:
    """The texts of one row group. Raises DataError if it is damaged or a text is missing."""
    return TextReader().texts(group.shard, group.index)


class TextReader:
    """Reads row groups; the shard and the texts of the last one are kept, since neighbours are asked for in a row."""

    def __init__(self) -> None:
        self._file: Any = None
        self._path: Path | None = None
        self._last: tuple[Path, int, list[str]] | None = None

    def texts(self, path: Path, group: int) -> list[str]:
        """The texts of row group `group` of the shard `path`. Raises DataError as `read_texts` does."""
        if self._last is None or self._last[:2] != (path, group):
            self._last = (path, group, self._read(path, group))
        return self._last[2]

    def _read(self, path: Path, group: int) -> list[str]:
        if self._path != path:
            if self._file is not None:
                self._file.close()
            self._file, self._path = _open(path), path
        try:
            texts: list[str | None] = self._file.read_row_group(group, columns=["text"]).column("text").to_pylist()
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: row group {group} is damaged: {error}.", todo=_BUILD) from error
        if None in texts:
            raise DataError(f"{path}: row {texts.index(None)} of row group {group} has no text.", todo=_BUILD)
        return [text for text in texts if text is not None]


def texts_of(shards: Shards) -> Iterator[str]:
    """Every text, in order; one row group is held at a time."""
    for group in shards.groups:
        yield from read_texts(group)


def _write_group(writer: Any, group: Sequence[Document]) -> None:
    columns = [[getattr(document, name) for document in group] for name in writer.schema.names]
    writer.write_table(pa.table(columns, schema=writer.schema), row_group_size=len(group))


def _open(path: Path) -> Any:
    if path.suffix == TOKENS_SUFFIX:
        raise DataError(f"{path} holds tokens, not text.", todo="Name the folder of text that it was made from.")
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


def _identity(path: Path) -> bytes:
    """Name, size and footer; in the footer of a shard made here is the hash of its texts."""
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        file.seek(-8, 2)
        (length,) = struct.unpack("<I", file.read(4))
        file.seek(-8 - length, 2)
        return f"{path.name} {size} ".encode() + file.read(length)
