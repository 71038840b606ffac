"""Best-fit packing: rows of equal length, each starting with a document, filled to the last token.

A row takes the largest buffered document that fits into what is left of it; if none fits, the shortest one is
cropped to fill the row and its rest is dropped. Nothing is padded. Among equals the one that came first goes.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from attrs import define, field, frozen
from numpy.typing import NDArray

Id = TypeVar("Id", bound=np.integer[Any])
Ref = tuple[int, int, int, int]
"""Where a buffered document came from: epoch, number of the row group, row in it, and piece of the document."""


@frozen(eq=False)
class Packable:
    """A tokenized document (or a piece of one), first token BOS."""

    ref: Ref
    tokens: NDArray[np.integer[Any]]


@define
class PackingCounts:
    """What packing did so far, in tokens and documents. places: tokens that the rows have room for."""

    rows: int = 0
    places: int = 0
    documents: int = 0
    tokens: int = 0
    cropped_tokens: int = 0

    @property
    def cropped_share(self) -> float:
        """Dropped tokens over all tokens of the documents that were used."""
        return self.cropped_tokens / max(1, self.tokens + self.cropped_tokens)

    @property
    def padding_share(self) -> float:
        """Places without a token over all places."""
        return 1 - self.tokens / self.places if self.places else 0.0


@define
class Packer:
    """Packs documents from `next_document`, choosing among `buffer_documents` at each turn.

    row_tokens: length of a row. next_document: gives the next document each time it is called, without end.
    """

    row_tokens: int
    buffer_documents: int
    next_document: Callable[[], Packable]
    counts: PackingCounts = field(factory=PackingCounts)
    # Sorted by length, then latest first, so that the last of those that fit came first among its equals.
    _keys: list[tuple[int, float]] = field(factory=list, init=False)
    _buffer: dict[int, Packable] = field(factory=dict, init=False)
    _arrivals: int = field(default=0, init=False)

    def add(self, document: Packable) -> None:
        """Put a document into the buffer, as the latest."""
        insort(self._keys, (len(document.tokens), -self._arrivals))
        self._buffer[self._arrivals] = document
        self._arrivals += 1

    def fill(self, tokens: NDArray[np.int64], segments: NDArray[np.int32] | None = None) -> None:
        """Write the next row of `row_tokens`, and for each the number of the document within the row it belongs to."""
        counts, room, segment = self.counts, self.row_tokens, 0
        while room:
            while len(self._keys) < self.buffer_documents:
                self.add(self.next_document())
            document = self._take(room).tokens
            used, start = min(len(document), room), self.row_tokens - room
            tokens[start : start + used] = document[:used]
            if segments is not None:
                segments[start : start + used] = segment
            counts.documents += 1
            counts.tokens += used
            counts.cropped_tokens += len(document) - used
            room -= used
            segment += 1
        counts.rows += 1
        counts.places += self.row_tokens

    def buffered(self) -> list[Ref]:
        """Where the buffered documents came from, in order of arrival; adding them again restores the buffer."""
        return [document.ref for document in self._buffer.values()]

    def _take(self, room: int) -> Packable:
        fitting = bisect_right(self._keys, (room, math.inf))
        if fitting:
            at = fitting - 1
        else:
            shortest = self._keys[0][0]
            at = bisect_left(self._keys, (shortest + 1, -math.inf)) - 1
        _, arrival = self._keys.pop(at)
        return self._buffer.pop(-int(arrival))


def pieces(tokens: NDArray[Id], row_tokens: int) -> list[NDArray[Id]]:
    """A document in parts of at most `row_tokens`, each led by its BOS; every other token is in one part."""
    if len(tokens) <= row_tokens:
        return [tokens]
    step = row_tokens - 1
    return [np.concatenate([tokens[:1], tokens[start : start + step]]) for start in range(1, len(tokens), step)]
