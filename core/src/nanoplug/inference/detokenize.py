"""Token ids to text while they arrive."""

from __future__ import annotations

import codecs

from nanoplug.contracts import Tokenizer


class Detokenizer:
    """Text of one row, token by token. Half of a UTF-8 character is held back until the rest arrives.

    Special tokens are not shown. Bytes that are not UTF-8 become U+FFFD, as in `Tokenizer.decode`.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._hidden = frozenset(tokenizer.special.values())
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token: int) -> str:
        """The characters that `token` completes; may be empty."""
        if token in self._hidden:
            return ""
        return self._decoder.decode(self._tokenizer.decode_bytes([token]))

    def finish(self) -> str:
        """What is left once no token follows: U+FFFD for a character cut in half, else nothing."""
        return self._decoder.decode(b"", final=True)
