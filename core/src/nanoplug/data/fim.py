"""Fill in the middle: documents of which a part is moved to the end, where the model learns to write it.

Every random choice is a function of the seed and of which document it is, so that a document looks the same whoever
reads it and whenever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from nanoplug.contracts import Tokenizer
from nanoplug.data.brace_blocks import brace_blocks
from nanoplug.data.fim_pairs import Pairs
from nanoplug.data.fim_tokens import FimTokens
from nanoplug.data.rendering import DocumentKey, PlainRendering
from nanoplug.data.text_cuts import cut_texts
from nanoplug.errors import ConfigError, ContractError, DataError
from nanoplug.ranges import check_values

BLOCK_TOKENS = range(4, 501)
"""Sizes of a brace block that may be a middle."""
# Two cuts inside of words cost some tokens, of which a part gets this much room; four draws seldom fail to fit.
_SLACK_TOKENS = 8
_DRAWS = 4
_PROBE = "a  b\t\tc\r\n\n    é漢🙂 /* \x00 */"


@frozen
class _Part:
    """A stretch of a document that gets a row of its own. ids: those of `text`."""

    document: int
    key: DocumentKey
    number: int
    text: str
    ids: Sequence[int]


@frozen
class _Split:
    prefix: str
    middle: str
    suffix: str
    spm: bool


class FimRendering:
    """Serves `Rendering`: documents with a share of them rearranged for filling in the middle.

    One draw for each document decides: with `structured_rate` one of `pairs` takes its place, with `fim_rate` it is
    split in three at random characters, else it stays plain. Of the split ones, a share of `spm_rate` has the suffix
    before the prefix, and in a share of `function_rate` the middle is an outermost brace block of 4 to 500 tokens
    where the text has one. Texts of fewer than two tokens stay plain.

    A document longer than a row is cut before it is split, behind a line end where it has one, so that each of its
    parts with its special tokens is a row or less. A pair that is longer than a row is passed over for the next.

    Raises ConfigError if the tokenizer is not lossless or lacks the special tokens, for rates out of range, and for a
    `structured_rate` without pairs.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        fim_rate: float = 0.5,
        spm_rate: float = 0.5,
        structured_rate: float = 0.0,
        function_rate: float = 0.0,
        pairs: Pairs | None = None,
        seed: int,
    ) -> None:
        self._rates = {
            "fim_rate": fim_rate,
            "fim_spm_rate": spm_rate,
            "fim_structured_rate": structured_rate,
            "fim_function_rate": function_rate,
        }
        check_values("data", self._rates)
        if structured_rate and not (pairs and pairs.pairs):
            raise ConfigError(f"data.fim_structured_rate is {structured_rate}, but there are no pairs.")
        self._tokens = FimTokens.of(tokenizer)
        if tokenizer.decode_bytes(tokenizer.encode(_PROBE)) != _PROBE.encode("utf-8"):
            raise ConfigError(
                "the tokenizer cannot fill in the middle: its tokens do not give the text back.",
                todo="Use a lossless tokenizer, or leave fill-in-the-middle out.",
            )
        self._tokenizer, self._pairs, self._seed = tokenizer, pairs, seed
        self._plain = PlainRendering(tokenizer)
        self._too_long: set[tuple[int, int]] = set()

    @property
    def identity(self) -> Mapping[str, Any]:
        pairs = self._pairs.digest if self._pairs and self._rates["fim_structured_rate"] else None
        return {**self._plain.identity, "kind": "fim", **self._rates, "fim_pairs": pairs, "fim_seed": self._seed}

    def describe(self) -> str:
        """The shares, for people."""
        share = {name: f"{100 * rate:.4g} %" for name, rate in self._rates.items()}
        said = f"{share['fim_rate']} of the training documents split to fill in ({share['fim_spm_rate']} suffix first"
        if self._rates["fim_function_rate"]:
            said += f", {share['fim_function_rate']} at a brace block"
        said += ")"
        if self._pairs and self._rates["fim_structured_rate"]:
            left_out = self._pairs.comment_ends
            said += f", {share['fim_structured_rate']} replaced by one of {len(self._pairs.pairs):,} docstring pairs"
            said += f" ({left_out:,} left out: '*/' in the docstring)" if left_out else ""
        return said

    def render(
        self, texts: Sequence[str], keys: Sequence[DocumentKey], *, row_tokens: int | None, threads: int
    ) -> list[list[NDArray[np.int32]]]:
        rendered: list[list[NDArray[np.int32]]] = [[] for _ in texts]
        plain: list[int] = []
        split: list[int] = []
        for document, key in enumerate(keys):
            draws = _Draws(self._seed, key)
            share = draws.share()
            if share < self._rates["fim_structured_rate"]:
                rendered[document] = [self._pair(draws, row_tokens)]
            elif share < self._rates["fim_structured_rate"] + self._rates["fim_rate"]:
                split.append(document)
            else:
                plain.append(document)
        of_plain = self._plain.render(
            [texts[i] for i in plain], [keys[i] for i in plain], row_tokens=row_tokens, threads=threads
        )
        for document, pieces in zip(plain, of_plain, strict=True):
            rendered[document] = pieces
        parts = self._parts(texts, keys, split, row_tokens, threads)
        for part, row in zip(parts, self._rows(parts, row_tokens, threads), strict=True):
            rendered[part.document].append(np.array(row, np.int32))
        return rendered

    def _pair(self, draws: _Draws, row_tokens: int | None) -> NDArray[np.int32]:
        """One of the pairs, always prefix first."""
        assert self._pairs is not None
        pairs = self._pairs.pairs
        first = draws.below(len(pairs))
        for at in (*range(first, len(pairs)), *range(first)):
            if row_tokens is not None and (row_tokens, at) in self._too_long:
                continue
            pair = pairs[at]
            row = self._tokens.row(*map(self._tokenizer.encode, (pair.prefix, pair.middle, pair.suffix)), spm=False)
            if row_tokens is None or len(row) <= row_tokens:
                return np.array(row, np.int32)
            self._too_long.add((row_tokens, at))
        raise DataError(
            f"{self._pairs.source}: none of the {len(pairs)} docstring pairs fits into {row_tokens} tokens.",
            todo="Train on longer rows, or give shorter pairs.",
        )

    def _parts(
        self,
        texts: Sequence[str],
        keys: Sequence[DocumentKey],
        documents: Sequence[int],
        row_tokens: int | None,
        threads: int,
    ) -> list[_Part]:
        """The parts of `documents`, in order, each short enough for a row with its special tokens."""
        room = None
        if row_tokens is not None:
            room = row_tokens - self._tokens.per_row - _SLACK_TOKENS
            if room < _SLACK_TOKENS:
                raise ContractError(f"FimRendering: rows of {row_tokens} tokens are too short to fill in a middle.")
        cut = cut_texts(self._tokenizer, [texts[i] for i in documents], max_tokens=room, threads=threads)
        return [
            _Part(document, keys[document], number, text, ids)
            for document, cuts in zip(documents, cut, strict=True)
            for number, (text, ids) in enumerate(cuts)
        ]

    def _rows(self, parts: Sequence[_Part], row_tokens: int | None, threads: int) -> list[list[int]]:
        rows = [[self._tokens.bos, *part.ids] for part in parts]
        pending = [at for at, part in enumerate(parts) if len(part.ids) >= 2]
        for turn in range(_DRAWS):
            splits = [self._split(parts[at], turn) for at in pending]
            texts = [text for split in splits for text in (split.prefix, split.middle, split.suffix)]
            ids = self._tokenizer.encode_batch(texts, threads=threads)
            too_long = []
            for n, (at, split) in enumerate(zip(pending, splits, strict=True)):
                row = self._tokens.row(*ids[3 * n : 3 * n + 3], spm=split.spm)
                if row_tokens is None or len(row) <= row_tokens:
                    rows[at] = row
                else:
                    too_long.append(at)
            pending = too_long
        for at in pending:
            rows[at] = self._tokens.row([], parts[at].ids, [], spm=False)
        return rows

    def _split(self, part: _Part, turn: int) -> _Split:
        text, draws = part.text, _Draws(self._seed, part.key, part.number, turn)
        spm = draws.share() < self._rates["fim_spm_rate"]
        start = draws.below(len(text))
        end = start + 1 + draws.below(len(text) - start)
        if draws.share() < self._rates["fim_function_rate"]:
            blocks = [block for block in brace_blocks(text) if self._is_middle(text[slice(*block)])]
            if blocks:
                start, end = blocks[draws.below(len(blocks))]
        return _Split(text[:start], text[start:end], text[end:], spm)

    def _is_middle(self, block: str) -> bool:
        return len(self._tokenizer.encode(block)) in BLOCK_TOKENS


class _Draws:
    """Random numbers that are a function of the seed and of what they are for, on every machine and for ever."""

    def __init__(self, seed: int, key: DocumentKey, *further: int) -> None:
        numbers = (seed, key.epoch, key.group, key.row, *further)
        self._state = hashlib.blake2b(repr(numbers).encode("ascii"))
        self._made = 0

    def below(self, count: int) -> int:
        """From 0 to count - 1."""
        return self._bits() * count >> 64

    def share(self) -> float:
        """From 0 to below 1."""
        return (self._bits() >> 11) / 2**53

    def _bits(self) -> int:
        state = self._state.copy()
        state.update(b"%d" % self._made)
        self._made += 1
        return int.from_bytes(state.digest()[:8], "little")
