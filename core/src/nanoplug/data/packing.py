"""Best-fit packing: rows of equal length, each starting with a document, filled to the last token.

A row takes the largest buffered document that fits into what is left of it; if none fits, the shortest one is
cropped to fill the row and its rest is dropped. Nothing is padded. Among equals the one that came first goes.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable

import numpy as np
from attrs import define, field, frozen
from numpy.typing import NDArray

Ref = tuple[int, int, int]
"""Where a buffered document came from: number of the row group, row in it, and piece of the document."""


@frozen(eq=False)
class Packable:
    """A tokenized document (or a piece of one), first token BOS."""

    ref: Ref
    tokens: NDArray[np.int32]


@define
class PackingCounts:
    """What packing did so far, in tokens and documents."""

    rows: int = 0
    documents: int = 0
    tokens: int = 0
    cropped_tokens: int = 0

    @property
    def cropped_share(self) -> float:
        """Dropped tokens over all tokens of the documents that were used."""
        return self.cropped_tokens / max(1, self.tokens + self.cropped_tokens)


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

    def row(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Tokens of the next row, and the number of the document within the row that each belongs to."""
        tokens = np.empty(self.row_tokens, np.int64)
        segments = np.empty(self.row_tokens, np.int32)
        start = segment = 0
        while start < self.row_tokens:
            while len(self._keys) < self.buffer_documents:
                self.add(self.next_document())
            document = self._take(self.row_tokens - start)
            used = document.tokens[: self.row_tokens - start]
            end = start + len(used)
            tokens[start:end] = used
            segments[start:end] = segment
            self.counts.documents += 1
            self.counts.tokens += len(used)
            self.counts.cropped_tokens += len(document.tokens) - len(used)
            start, segment = end, segment + 1
        self.counts.rows += 1
        return tokens, segments

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


def pieces(tokens: NDArray[np.int32], row_tokens: int) -> list[NDArray[np.int32]]:
    """A document in parts of at most `row_tokens`, each led by its BOS; every other token is in one part."""
    if len(tokens) <= row_tokens:
        return [tokens]
    step = row_tokens - 1
    return [np.concatenate([tokens[:1], tokens[start : start + step]]) for start in range(1, len(tokens), step)]
