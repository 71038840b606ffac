"""Shards of tokens, memory-mapped: the number of tokens as 8 bytes, then the ids, all little-endian.

Ids have two bytes where the vocabulary has at most 65,536, else four. Documents follow each other, each led by BOS.
Beside `NAME.bin` lie `NAME.offsets.npy` (where each document starts, and the end) and `NAME.groups.npy` (the first
document of each group that ranks share out, and the end). A file without them is read too: documents start at BOS.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from nanoplug.data.shards import ROW_GROUP_DOCUMENTS
from nanoplug.errors import DataError

Ids = NDArray[np.integer[Any]]
_COUNT = struct.Struct("<Q")
_AGAIN = "Make it again by `nanoplug data tokenize`, or name another folder."
_MAPPED_FILES = 64
_SAMPLES, _SAMPLE_BYTES, _SCAN_TOKENS = 64, 4096, 1 << 24


@frozen
class _File:
    """What is mapped: `count` values from byte `start` on, of the file that was there when the shard was opened."""

    path: Path
    dtype: str
    start: int
    count: int
    identity: tuple[int, int]


@frozen(eq=False)
class TokenShard:
    """One opened shard. group_documents: documents of each group. digest: tells this content from another.

    Files are mapped when they are read, a few at a time, since each mapping holds a file open.
    """

    path: Path
    digest: str
    group_documents: tuple[int, ...] = field(repr=False)
    _ids: _File = field(repr=False)
    _offsets: _File | NDArray[np.uint64] = field(repr=False)
    _group_starts: NDArray[np.uint64] = field(repr=False)

    def documents(self, group: int, rows: Sequence[int]) -> list[Ids]:
        """The ids of documents `rows` of group `group`: views of the file, of its dtype."""
        ids = _mapped(self._ids)
        offsets = _mapped(self._offsets) if isinstance(self._offsets, _File) else self._offsets
        first = int(self._group_starts[group])
        if len(rows) and rows[-1] - rows[0] == len(rows) - 1:
            ends: list[int] = offsets[first + rows[0] : first + rows[-1] + 2].tolist()
            return [ids[start:end] for start, end in pairwise(ends)]
        return [ids[int(offsets[first + row]) : int(offsets[first + row + 1])] for row in rows]

    @property
    def tokens(self) -> int:
        return self._ids.count


class TokenShardWriter:
    """Writes one shard into a folder that nobody reads yet. groups, documents, tokens: written so far.

    sha256: of the ids and offsets, once closed.
    """

    def __init__(self, path: Path, vocab_size: int) -> None:
        self.path, self.sha256 = path, ""
        self._dtype = ids_dtype(vocab_size)
        self._digest = hashlib.sha256()
        self._lengths: list[NDArray[np.int64]] = []
        self._group_starts = [0]
        self.documents = self.tokens = 0
        self._file = open(path, "wb")  # noqa: SIM115  closed by __exit__
        self._file.write(_COUNT.pack(0))

    @property
    def groups(self) -> int:
        return len(self._group_starts) - 1

    def add(self, lengths: Sequence[int], ids: Ids) -> None:
        """Documents one after another in `ids`, for the group that is being written."""
        raw = ids.astype(self._dtype, copy=False).tobytes()
        self._digest.update(raw)
        self._file.write(raw)
        self._lengths.append(np.array(lengths, np.int64))
        self.documents += len(lengths)
        self.tokens += len(ids)

    def end_group(self) -> None:
        self._group_starts.append(self.documents)

    def __enter__(self) -> TokenShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._file as file:
            if error is not None:
                return
            file.seek(0)
            file.write(_COUNT.pack(self.tokens))
        offsets = np.zeros(self.documents + 1, "<u8")
        offsets[1:] = np.cumsum(np.concatenate([np.zeros(0, np.int64), *self._lengths]))
        self._digest.update(offsets.tobytes())
        np.save(_beside(self.path, "offsets"), offsets)
        np.save(_beside(self.path, "groups"), np.array(self._group_starts, "<u8"))
        self.sha256 = self._digest.hexdigest()


def ids_dtype(vocab_size: int) -> np.dtype[Any]:
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


def tokens_in(path: Path) -> int:
    """The number of tokens that the file states; 0 for one that is too short to state any."""
    with open(path, "rb") as file:
        head = file.read(_COUNT.size)
    return int(_COUNT.unpack(head)[0]) if len(head) == _COUNT.size else 0


def open_indexed(path: Path, *, vocab_size: int, digest: str) -> TokenShard:
    """A shard with its index. Raises DataError if a file is missing, or does not fit the others."""
    ids = _ids(path, vocab_size)
    offsets, starts = (_index(_beside(path, name)) for name in ("offsets", "groups"))
    if not len(offsets) or int(offsets[-1]) != ids.count or not len(starts) or int(starts[-1]) != len(offsets) - 1:
        raise DataError(f"{path}: its index is of another file.", todo=_AGAIN)
    at = _beside(path, "offsets")
    file = _File(at, "<u8", int(offsets.offset), len(offsets), _identity(at))
    return TokenShard(path, digest, tuple(np.diff(starts).tolist()), ids, file, np.array(starts))


def open_by_bos(path: Path, *, vocab_size: int, bos: int) -> TokenShard:
    """A shard without an index, read through once; groups are of `ROW_GROUP_DOCUMENTS`.

    Its digest is over its name and size and 64 samples. Raises DataError if it does not start with BOS, or holds an id
    that the vocabulary does not.
    """
    file = _ids(path, vocab_size)
    ids = _mapped(file)
    found: list[NDArray[np.int64]] = []
    for start in range(0, len(ids), _SCAN_TOKENS):
        part = ids[start : start + _SCAN_TOKENS]
        if int(part.max()) >= vocab_size:
            raise DataError(
                f"{path} holds id {int(part.max())}; the tokenizer's ids end at {vocab_size - 1}.",
                todo="Give the --tokenizer-dir that it was made with.",
            )
        found.append(np.flatnonzero(part == bos) + start)
    starts = np.concatenate(found) if found else np.zeros(0, np.int64)
    if len(ids) and (not len(starts) or starts[0] != 0):
        raise DataError(
            f"{path} does not start with the tokenizer's BOS (id {bos}), by which documents are told apart.",
            todo="Give the --tokenizer-dir that it was made with, or make it again by `nanoplug data tokenize`.",
        )
    offsets = np.append(starts, len(ids)).astype(np.uint64)
    groups = np.append(np.arange(0, len(starts), ROW_GROUP_DOCUMENTS), len(starts)).astype(np.uint64)
    return TokenShard(path, _sampled(path), tuple(np.diff(groups).tolist()), file, offsets, groups)


def _beside(path: Path, name: str) -> Path:
    return path.with_name(f"{path.stem}.{name}.npy")


def _ids(path: Path, vocab_size: int) -> _File:
    dtype = ids_dtype(vocab_size)
    try:
        count, size = tokens_in(path), path.stat().st_size
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.", todo=_AGAIN) from None
    if size != _COUNT.size + count * dtype.itemsize:
        raise DataError(
            f"{path} is not a whole shard of tokens: it says {count:,} tokens, which for a vocabulary of"
            f" {vocab_size:,} are {_COUNT.size + count * dtype.itemsize:,} bytes; it has {size:,}.",
            todo=_AGAIN,
        )
    return _File(path, dtype.str, _COUNT.size, count, _identity(path))


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns


@lru_cache(maxsize=_MAPPED_FILES)
def _mapped(file: _File) -> Ids:
    if not file.path.is_file() or _identity(file.path) != file.identity:
        raise DataError(f"{file.path} was replaced while it was in use.", todo="Run the same command again.")
    if not file.count:
        return np.zeros(0, file.dtype)
    # A plain array over the mapping: slices of a memmap are ten times as slow to make.
    return np.asarray(np.memmap(file.path, file.dtype, mode="r", offset=file.start, shape=(file.count,)))


def _index(path: Path) -> np.memmap[Any, np.dtype[np.uint64]]:
    try:
        index = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read: {error}.", todo=_AGAIN) from None
    if not isinstance(index, np.memmap) or index.ndim != 1 or index.dtype != np.dtype("<u8"):
        raise DataError(f"{path} is no index: {index.dtype} of shape {index.shape}.", todo=_AGAIN)
    return index


def _sampled(path: Path) -> str:
    size = path.stat().st_size
    digest = hashlib.sha256(f"{path.name} {size} ".encode())
    with open(path, "rb") as file:
        for number in range(_SAMPLES):
            file.seek(max(0, size - _SAMPLE_BYTES) * number // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()
