"""The special tokens that mark the parts of a document whose middle is to be filled in, and their order in a row."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from nanoplug.contracts import Tokenizer
from nanoplug.data.rendering import bos_id
from nanoplug.errors import ConfigError

FIM_NAMES = ("<FIM_PREFIX>", "<FIM_SUFFIX>", "<FIM_MIDDLE>", "<EOS>")


@frozen
class FimTokens:
    """Ids from a tokenizer's special tokens. Rows are laid out as in Bavarian et al. 2022, arXiv:2207.14255.

    end: follows the middle, so that a model says when it is whole.
    """

    bos: int
    prefix: int
    suffix: int
    middle: int
    end: int

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> FimTokens:
        """Raises ConfigError that names the special tokens which the tokenizer lacks."""
        if missing := [name for name in FIM_NAMES if name not in tokenizer.special]:
            raise ConfigError(
                f"the tokenizer cannot fill in the middle: it has no {', '.join(missing)}.",
                todo="Use a tokenizer with these special tokens, or leave fill-in-the-middle out.",
            )
        return cls(bos_id(tokenizer), *(tokenizer.special[name] for name in FIM_NAMES))

    @property
    def per_row(self) -> int:
        """Special tokens in a row."""
        return 5

    def prompt(self, prefix: Sequence[int], suffix: Sequence[int], *, spm: bool) -> list[int]:
        """What comes before the middle: BOS P prefix S suffix M, or with `spm` BOS P S suffix M prefix."""
        if spm:
            return [self.bos, self.prefix, self.suffix, *suffix, self.middle, *prefix]
        return [self.bos, self.prefix, *prefix, self.suffix, *suffix, self.middle]

    def row(self, prefix: Sequence[int], middle: Sequence[int], suffix: Sequence[int], *, spm: bool) -> list[int]:
        """A row to learn from: the prompt, the middle, and the end."""
        return [*self.prompt(prefix, suffix, spm=spm), *middle, self.end]
