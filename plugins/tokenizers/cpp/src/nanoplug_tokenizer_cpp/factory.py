"""Trains C++ tokenizers and opens saved ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import rustbpe

from nanoplug.errors import ContractError, DataError
from nanoplug_tokenizer_cpp.engines import ENGINES, chosen_engine
from nanoplug_tokenizer_cpp.layout import FIRST_LEARNED, LINE_LAYOUT, WORD_LAYOUT, unspelled
from nanoplug_tokenizer_cpp.merging import Merges
from nanoplug_tokenizer_cpp.patterns import LINES, STEMS, WORDS, stretches
from nanoplug_tokenizer_cpp.superwords import superwords
from nanoplug_tokenizer_cpp.tokenizer import CppTokenizer, read_tokenizer
from nanoplug_tokenizer_cpp.tokenizer_json import spelled, written

WORD_SHARE = 0.5
"""Share of the learned tokens that are learned within words, before superwords."""
_ONE_PIECE = r"[\s\S]+"


class CppFactory:
    """Serves `nanoplug.contracts.TokenizerFactory`.

    superwords: train tokens that cross words too, up to 64 characters of a line. engine: see `engines`.
    """

    def __init__(self, *, superwords: bool = False, engine: str = "auto") -> None:
        self._superwords = superwords
        self._layout = LINE_LAYOUT if superwords else WORD_LAYOUT
        self._engine = chosen_engine(engine)

    def train(self, texts: Iterable[str], *, vocab_size: int) -> CppTokenizer:
        """A tokenizer of exactly `vocab_size` ids: the 1,600 fixed ones of `layout`, then learned ones.

        The same texts give the same tokenizer on every machine. Raises ContractError if `vocab_size` is below 1,600
        or a text is not a string, DataError if the texts hold fewer merges than asked for.
        """
        if vocab_size < FIRST_LEARNED:
            raise ContractError(f"cpp: vocab_size is {vocab_size}; the fixed ids need at least {FIRST_LEARNED}.")
        if isinstance(texts, (str, bytes)):
            raise ContractError(f"cpp: train takes many texts; got one {type(texts).__name__}.")
        wanted = vocab_size - FIRST_LEARNED + len(self._layout.open_ids)
        if self._superwords:
            merges = self._merged_lines(list(map(_checked, texts)), wanted)
        else:
            merges = Merges(self._layout, wanted)
            for token in self._learned(map(_checked, texts), wanted, WORDS):
                merges.add(token)
        reached = FIRST_LEARNED - len(self._layout.open_ids) + len(merges.learned)
        if reached != vocab_size:
            raise DataError(
                f"cpp: the training text has merges for {reached} tokens only; {vocab_size} were asked for.",
                todo=f"Ask for at most {reached} tokens, or train on more text."
                if reached >= FIRST_LEARNED
                else f"Train on more text: a tokenizer has at least {FIRST_LEARNED} tokens.",
            )
        vocabulary = self._vocabulary(merges, LINES if self._superwords else WORDS)
        return CppTokenizer(vocabulary, engine=self._engine)

    def load(self, folder: Path) -> CppTokenizer:
        """The tokenizer saved in `folder`, with or without superwords as it was trained."""
        return read_tokenizer(folder, engine=self._engine)

    def _learned(self, texts: Iterable[str], wanted: int, pattern: str) -> list[bytes]:
        """Tokens in the order in which they are learned, more than wanted: fixed ones among them need no learned id."""
        trainer = rustbpe.Tokenizer()
        asked = 256 + wanted + len(self._layout.tokens)
        trainer.train_from_iterator((part for text in texts for part in stretches(text)), asked, pattern=pattern)
        ranks = {bytes(token): rank for token, rank in trainer.get_mergeable_ranks()}
        return sorted(ranks, key=ranks.__getitem__)

    def _merged_lines(self, texts: Sequence[str], wanted: int) -> Merges:
        words = Merges(self._layout, int(wanted * WORD_SHARE))
        words.add_simple_first(self._learned(texts, int(wanted * WORD_SHARE), STEMS))
        one_piece = ENGINES[self._engine](self._vocabulary(words, _ONE_PIECE))
        tokens = dict(zip(self._layout.learned_ids(), words.learned, strict=False))
        tokens |= {id: token for id, token in enumerate(self._layout.tokens) if token}
        merges = Merges(self._layout, wanted)
        for left, right in words.pairs:
            merges.add(left + right)
        for token in superwords(texts, tokens, one_piece, wanted):
            merges.add(token)
        return merges

    def _vocabulary(self, merges: Merges, pattern: str) -> str:
        names = {id: spelled(token) if token else unspelled(id) for id, token in enumerate(self._layout.tokens)}
        names |= dict(zip(self._layout.learned_ids(), map(spelled, merges.learned), strict=False))
        return written([names[id] for id in sorted(names)], merges.pairs, pattern)


def _checked(text: object) -> str:
    if not isinstance(text, str):
        raise ContractError(f"cpp: training text must be str; got {type(text).__name__}.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ContractError(f"cpp: a training text has a lone surrogate at position {error.start}.") from None
    return text
