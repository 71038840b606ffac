"""Tells roots that are nearly the same as one seen before, by MinHash over runs of five lexemes.

Roots are compared, not whole documents: two small functions under the same large dependencies are not the same.
"""

from __future__ import annotations

import re
from functools import cache

import numpy as np
from datasketch import MinHash, MinHashLSH

from nanoplug.errors import ConfigError

PERMUTATIONS = 128
RUN_LEXEMES = 5
LEAST_LEXEMES = 30
_LEXEME = re.compile(r"\w+|[^\w\s]")
_SEED = 1
_SCHEME = "affine32"
_LARGEST_INDEXED = 0.95


def signature_of(text: str) -> bytes | None:
    """The MinHash of a text, the same on every machine; None for one too short to be compared this way.

    White space does not count.
    """
    lexemes = _LEXEME.findall(text)
    if len(lexemes) < LEAST_LEXEMES:
        return None
    runs = {" ".join(lexemes[at : at + RUN_LEXEMES]).encode() for at in range(len(lexemes) - RUN_LEXEMES + 1)}
    sketch = _empty().copy()
    sketch.update_batch(sorted(runs))
    signature: bytes = sketch.hashvalues.astype("<u4").tobytes()
    return signature


@cache
def _empty() -> MinHash:
    """Drawing the permutations takes longer than most texts."""
    return MinHash(num_perm=PERMUTATIONS, seed=_SEED, scheme=_SCHEME)


class NearDuplicates:
    """Signatures seen so far. threshold: estimated Jaccard similarity from which on two texts count as the same."""

    def __init__(self, threshold: float) -> None:
        if not 0 < threshold <= 1:
            raise ConfigError(f"near-duplicate threshold is {threshold}; it must be above 0 and at most 1.")
        self._threshold = threshold
        # It only proposes candidates; near 1 it would have too few bands.
        self._index = MinHashLSH(threshold=min(threshold, _LARGEST_INDEXED), num_perm=PERMUTATIONS)
        self._seen: dict[int, MinHash] = {}

    def is_new(self, signature: bytes) -> bool:
        """Whether nothing seen so far is nearly the same; it then counts as seen."""
        values = np.frombuffer(signature, "<u4").astype(np.uint64)
        sketch = MinHash(seed=_SEED, hashvalues=values, permutations=_empty().permutations, scheme=_SCHEME)
        if any(sketch.jaccard(self._seen[key]) >= self._threshold for key in self._index.query(sketch)):
            return False
        key = len(self._seen)
        self._seen[key] = sketch
        self._index.insert(key, sketch)
        return True
