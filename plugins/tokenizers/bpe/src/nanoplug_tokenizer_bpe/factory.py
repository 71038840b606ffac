"""Trains byte-level BPE tokenizers and opens saved ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import rustbpe

from nanoplug.errors import ConfigError, ContractError, DataError, nearest
from nanoplug_tokenizer_bpe.patterns import PATTERNS, STRETCH_CHARS
from nanoplug_tokenizer_bpe.tokenizer import SPECIAL, BpeTokenizer, read_tokenizer, stretches

MIN_VOCAB_SIZE = 256 + len(SPECIAL)


class BpeFactory:
    """Serves `nanoplug.contracts.TokenizerFactory`. pattern: a name in `PATTERNS`."""

    def __init__(self, *, pattern: str = "gpt4") -> None:
        if pattern not in PATTERNS:
            raise ConfigError(
                f"bpe: pattern {pattern!r} is unknown; there is {', '.join(PATTERNS)}{nearest(pattern, PATTERNS)}."
            )
        self._pattern = PATTERNS[pattern]

    def train(self, texts: Iterable[str], *, vocab_size: int) -> BpeTokenizer:
        """A tokenizer of exactly `vocab_size` ids: 256 bytes, merges, and 9 special tokens.

        The same texts give the same tokenizer on every machine. Raises ContractError if `vocab_size` is below 265
        or a text is not a string, DataError if the texts hold fewer merges than asked for.
        """
        if vocab_size < MIN_VOCAB_SIZE:
            raise ContractError(
                f"bpe: vocab_size is {vocab_size}; 256 bytes and {len(SPECIAL)} special tokens need at least"
                f" {MIN_VOCAB_SIZE}."
            )
        if isinstance(texts, (str, bytes)):
            raise ContractError(f"bpe: train takes many texts; got one {type(texts).__name__}.")
        trainer = rustbpe.Tokenizer()
        trainer.train_from_iterator(_parts(texts), vocab_size - len(SPECIAL), pattern=self._pattern)
        reached = trainer.vocab_size + len(SPECIAL)
        if reached != vocab_size:
            raise DataError(
                f"bpe: the training text has merges for {reached} tokens only; {vocab_size} were asked for.",
                todo=f"Ask for at most {reached} tokens, or train on more text.",
            )
        ranks = {bytes(token): rank for token, rank in trainer.get_mergeable_ranks()}
        return BpeTokenizer(sorted(ranks, key=ranks.__getitem__), pattern=self._pattern, stretch_chars=STRETCH_CHARS)

    def load(self, folder: Path) -> BpeTokenizer:
        """The tokenizer saved in `folder`, with the pattern that it was trained with."""
        return read_tokenizer(folder)


def _parts(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        if not isinstance(text, str):
            raise ContractError(f"bpe: training text must be str; got {type(text).__name__}.")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ContractError(f"bpe: a training text has a lone surrogate at position {error.start}.") from None
        yield from stretches(text, STRETCH_CHARS)
