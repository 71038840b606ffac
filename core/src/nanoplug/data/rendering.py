"""How the text of a document becomes tokens of training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from nanoplug.contracts import Tokenizer
from nanoplug.data.packing import pieces
from nanoplug.errors import DataError

_BOS_NAMES = ("<|bos|>", "<|endoftext|>")


@frozen
class DocumentKey:
    """Which document, in which pass over the data: what random choices about it may depend on."""

    epoch: int
    group: int
    row: int


class Rendering(Protocol):
    """Serves any document at any time: the same key and text give the same tokens, in any order and process.

    identity: JSON values that decide what comes; a loader's state fits only where they are equal.
    """

    @property
    def identity(self) -> Mapping[str, Any]: ...

    def render(
        self, texts: Sequence[str], keys: Sequence[DocumentKey], *, row_tokens: int | None, threads: int
    ) -> list[list[NDArray[np.int32]]]:
        """For each text its pieces, each led by BOS and, unless `row_tokens` is None, at most that long."""
        ...


class PlainRendering:
    """The tokens of the text behind a BOS, the same in every epoch."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"kind": "plain", "tokenizer": self._tokenizer.fingerprint}

    def render(
        self, texts: Sequence[str], keys: Sequence[DocumentKey], *, row_tokens: int | None, threads: int
    ) -> list[list[NDArray[np.int32]]]:
        return [
            [tokens] if row_tokens is None else pieces(tokens, row_tokens)
            for tokens in tokenize(self._tokenizer, texts, threads=threads)
        ]


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
