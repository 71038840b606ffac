"""Whether a tokenizer knows C++ words, asked of the tokenizer itself."""

from __future__ import annotations

from nanoplug.contracts import Tokenizer

WORDS = ("class", "const", "namespace", "override", "private", "protected", "public", "struct", "template", "virtual")
NEEDED = 8


def knows_cpp(tokenizer: Tokenizer) -> bool:
    """True if at least 8 of ten C++ keywords are one token each."""
    return sum(len(tokenizer.encode(word)) == 1 for word in WORDS) >= NEEDED
