"""The documents of one rank as tokens, epoch after epoch, from any position on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from nanoplug.contracts import Tokenizer
from nanoplug.data.packing import Packable, Ref, pieces
from nanoplug.data.shards import Shards, read_texts
from nanoplug.errors import ContractError, DataError

_BOS_NAMES = ("<|bos|>", "<|endoftext|>")


@frozen
class Position:
    """The next document to come. group counts over all row groups; one past the last means the end of the epoch."""

    epoch: int = 0
    group: int = 0
    row: int = 0
    piece: int = 0


def bos_id(tokenizer: Tokenizer) -> int:
    """The id that leads each document. Raises DataError if the tokenizer has none."""
    for name in _BOS_NAMES:
        if name in tokenizer.special:
            return tokenizer.special[name]
    raise DataError(
        f"the tokenizer has no {' or '.join(_BOS_NAMES)}, which must lead each document.",
        todo="Use a tokenizer with that special token.",
    )


def tokenize(tokenizer: Tokenizer, texts: Sequence[str], *, threads: int) -> list[NDArray[np.int32]]:
    """Ids of each text behind a BOS."""
    bos = bos_id(tokenizer)
    return [np.array([bos, *ids], np.int32) for ids in tokenizer.encode_batch(texts, threads=threads)]


class DocumentStream:
    """Gives this rank's documents without end. Rank r of W reads the row groups r, r+W, ... of every epoch.

    row_tokens: documents longer than this come in pieces (`packing.pieces`); None leaves them whole.
    tokenizer_batch documents are tokenized at once on `tokenizer_threads` threads; neither changes what comes.
    """

    def __init__(
        self,
        shards: Shards,
        tokenizer: Tokenizer,
        *,
        rank: int,
        world_size: int,
        row_tokens: int | None,
        tokenizer_batch: int,
        tokenizer_threads: int,
    ) -> None:
        if not 0 <= rank < world_size:
            raise ContractError(f"rank {rank} of {world_size} does not exist.")
        if tokenizer_batch < 1 or tokenizer_threads < 1:
            raise ContractError(
                f"tokenizer_batch is {tokenizer_batch} and tokenizer_threads {tokenizer_threads}; both must be at"
                " least 1."
            )
        if not any(group.rows for group in shards.groups[rank::world_size]):
            raise DataError(
                f"rank {rank} of {world_size} has nothing to read: the training shards have {len(shards.groups)} row"
                " group(s).",
                todo="Train on fewer ranks, or build the data from more documents.",
            )
        self.position = Position(group=rank)
        self._shards, self._tokenizer = shards, tokenizer
        self._rank, self._world_size = rank, world_size
        self._row_tokens = row_tokens
        self._batch, self._threads = tokenizer_batch, tokenizer_threads
        self._ready: deque[tuple[Packable, Position]] = deque()
        self._texts_of: tuple[int, list[str]] = (-1, [])

    def next(self) -> Packable:
        """The document at `position`, which then moves on."""
        while not self._ready:
            self._read_on()
        document, self.position = self._ready.popleft()
        return document

    def seek(self, position: Position) -> None:
        """Go to a position that this stream had. Raises DataError if there is no such place."""
        in_range = 0 <= position.group < len(self._shards.groups) + self._world_size
        if not in_range or position.group % self._world_size != self._rank or min(position.row, position.piece) < 0:
            raise DataError(f"{position} is no place in the training shards of rank {self._rank}.")
        self.position = position
        self._ready.clear()

    def fetch(self, refs: Sequence[Ref]) -> list[Packable]:
        """The documents that `refs` name, read and tokenized again."""
        found: dict[Ref, Packable] = {}
        for number, of_group in groupby(sorted(set(refs)), key=lambda ref: ref[0]):
            if not 0 <= number < len(self._shards.groups):
                raise DataError(f"row group {number} is not in the training shards.")
            texts = self._texts(number)
            rows = sorted({row for _, row, _ in of_group})
            if not 0 <= rows[0] <= rows[-1] < len(texts):
                raise DataError(f"row {rows[-1]} is not in row group {number}, which has {len(texts)}.")
            for document in self._packables(number, rows, [texts[row] for row in rows]):
                found[document.ref] = document
        try:
            return [found[ref] for ref in refs]
        except KeyError as error:
            raise DataError(f"piece {error.args[0]} is not in the training shards.") from None

    def _read_on(self) -> None:
        """Tokenize the next documents of one row group."""
        at = self.position
        if at.group >= len(self._shards.groups):
            at = Position(epoch=at.epoch + 1, group=self._rank)
        texts = self._texts(at.group)
        rows = range(at.row, min(at.row + self._batch, len(texts)))
        documents = [
            document
            for document in self._packables(at.group, rows, texts[rows.start : rows.stop])
            if document.ref[1:] >= (at.row, at.piece)
        ]
        if not documents:
            self.position = Position(at.epoch, at.group + self._world_size)
            return
        for document, after in zip(documents, [*documents[1:], None], strict=True):
            if after is None:
                place = Position(at.epoch, at.group, rows.stop)
            else:
                place = evolve(at, row=after.ref[1], piece=after.ref[2])
            self._ready.append((document, place))

    def _packables(self, group: int, rows: Iterable[int], texts: Sequence[str]) -> list[Packable]:
        tokens = tokenize(self._tokenizer, texts, threads=self._threads)
        return [
            Packable((group, row, number), piece)
            for row, whole in zip(rows, tokens, strict=True)
            for number, piece in enumerate([whole] if self._row_tokens is None else pieces(whole, self._row_tokens))
        ]

    def _texts(self, number: int) -> list[str]:
        if self._texts_of[0] != number:
            self._texts_of = (number, read_texts(self._shards.groups[number]))
        return self._texts_of[1]
