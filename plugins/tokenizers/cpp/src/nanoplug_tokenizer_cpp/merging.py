"""Turns tokens in the order in which they were learned into merges that every engine reads alike.

In a list of merges each token has one pair that gives it, and merging a token's own bytes by the earlier merges ends in
that pair. Then it does not matter whether an engine looks for pairs or for tokens, and in which order it merges pairs
of one rank.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

from nanoplug_tokenizer_cpp.layout import Layout

Pair = tuple[bytes, bytes]
_NUMBER = re.compile(rb"[0-9]+")


class Merges:
    """Merges that give no word that is fixed for whole lexemes only, and up to `limit` tokens without a fixed id.

    pairs: in order. learned: the tokens without a fixed id, in order: those that the pairs give, and numbers that none
    can give because all their parts are fixed; such a number stands for a whole number only, as the fixed ones do.
    """

    def __init__(self, layout: Layout, limit: int) -> None:
        self.pairs: list[Pair] = []
        self.learned: list[bytes] = []
        self._limit = limit
        self._fixed = frozenset(layout.tokens)
        self._whole_only = layout.whole_only
        self._rank: dict[Pair, int] = {}
        self._given: set[bytes] = {bytes([byte]) for byte in range(256)}

    @property
    def full(self) -> bool:
        return len(self.learned) >= self._limit

    def add(self, token: bytes) -> None:
        """Add the merge that gives `token`, and those of its parts that are missing; nothing if it may not be given.

        A part is missing where it would be a fixed word: other parts then take its place.
        """
        if token in self._given or token in self._whole_only:
            return
        parts = self.split(token)
        while len(parts) > 2:
            joined = self._joinable(parts)
            if self.full:
                return
            if joined is None:
                if _NUMBER.fullmatch(token):
                    self._given.add(token)
                    self.learned.append(token)
                return
            self._append(parts[joined], parts[joined + 1])
            parts = self.split(token)
        if not self.full or token in self._fixed:
            self._append(parts[0], parts[1])

    def add_simple_first(self, tokens: Iterable[bytes]) -> None:
        """`add` of each token, those with missing parts after the others, for their parts get in the way of others."""
        later: list[bytes] = []
        spared = 0
        rest = iter(tokens)
        for token in rest:
            parts = len(self.split(token))
            if token in self._given or token in self._whole_only:
                continue
            if parts == 2:
                self.add(token)
            else:
                later.append(token)
                spared += parts - 1
            if len(self.learned) + spared >= self._limit:
                break
        for token in (*later, *rest):
            self.add(token)

    def split(self, token: bytes) -> list[bytes]:
        """`token` merged as far as the merges reach."""
        parts = [token[i : i + 1] for i in range(len(token))]
        ranks = [self._rank.get(pair) for pair in pairwise(parts)]
        while True:
            low = min((rank for rank in ranks if rank is not None), default=None)
            if low is None:
                return parts
            i = ranks.index(low)
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
            del ranks[i]
            if i > 0:
                ranks[i - 1] = self._rank.get((parts[i - 1], parts[i]))
            if i < len(ranks):
                ranks[i] = self._rank.get((parts[i], parts[i + 1]))

    def _joinable(self, parts: list[bytes]) -> int | None:
        """Index of two neighbours, the last that can be joined into a new token."""
        for i in range(len(parts) - 2, -1, -1):
            joined = parts[i] + parts[i + 1]
            if joined not in self._given and joined not in self._whole_only and len(self.split(joined)) == 2:
                return i
        return None

    def _append(self, left: bytes, right: bytes) -> None:
        self._rank[left, right] = len(self.pairs)
        self.pairs.append((left, right))
        self._given.add(left + right)
        if left + right not in self._fixed:
            self.learned.append(left + right)
