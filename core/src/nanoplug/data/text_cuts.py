"""Cuts texts so that the tokens of each part, encoded on its own, are few enough."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nanoplug.contracts import Tokenizer

Cut = tuple[str, Sequence[int]]
"""A part of a text, and its ids."""


def cut_texts(tokenizer: Tokenizer, texts: Sequence[str], *, max_tokens: int | None, threads: int) -> list[list[Cut]]:
    """The parts of each text, which in order give it back.

    A part has at most `max_tokens`, which must be 8 at least, and ends behind the last line end that allows it, else
    at any character. None leaves the texts whole. The tokenizer must be lossless.
    """
    encoded: list[Cut] = list(zip(texts, tokenizer.encode_batch(texts, threads=threads), strict=True))
    if max_tokens is None or all(len(ids) <= max_tokens for _, ids in encoded):
        return [[whole] for whole in encoded]
    token_bytes = np.asarray(tokenizer.bytes_per_token)
    stretches = [
        [text] if len(ids) <= max_tokens else _stretches(text, np.cumsum(token_bytes[np.asarray(ids)]), max_tokens)
        for text, ids in encoded
    ]
    # The tokens of a stretch need not be those that its text had within the whole, so that some are cut again.
    again = [stretch for of_text in stretches if len(of_text) > 1 for stretch in of_text]
    parts = iter(cut_texts(tokenizer, again, max_tokens=max_tokens, threads=threads))
    return [
        [whole] if len(of_text) == 1 else [part for _ in of_text for part in next(parts)]
        for whole, of_text in zip(encoded, stretches, strict=True)
    ]


def _stretches(text: str, ends: NDArray[np.int64], max_tokens: int) -> list[str]:
    """ends: for each token of `text`, the bytes up to its end."""
    data = text.encode("utf-8")
    stretches = []
    start = 0
    while start < len(data):
        last = int(np.searchsorted(ends, start, side="right")) + max_tokens - 1
        stop = len(data) if last + 1 >= len(ends) else _boundary(data, start, int(ends[last]))
        stretches.append(data[start:stop].decode("utf-8"))
        start = stop
    return stretches


def _boundary(data: bytes, start: int, stop: int) -> int:
    """The last line end in data[start:stop], or else the last character that ends there."""
    line = data.rfind(b"\n", start, stop)
    if line >= 0:
        return line + 1
    while data[stop] & 0xC0 == 0x80:
        stop -= 1
    return stop
