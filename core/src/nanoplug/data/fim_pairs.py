"""Pairs of a documented signature and its body, from which a model learns to write the one from the other."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from attrs import field, frozen

from nanoplug.errors import DataError

_KEYS = ("docstring", "signature", "body")
_TODO = "Write one JSON object a line, with the texts docstring, signature and body."


@frozen
class Pair:
    """A function without its comment's marks and without its braces."""

    docstring: str
    signature: str
    body: str

    @property
    def prefix(self) -> str:
        return f"{_block_comment(self.docstring)}\n{self.signature} {{"

    @property
    def middle(self) -> str:
        return f"\n{self.body}\n"

    @property
    def suffix(self) -> str:
        return "\n}"


@frozen
class Pairs:
    """source: the file, for messages. comment_ends: pairs left out because their docstring would end its comment."""

    source: str
    pairs: tuple[Pair, ...]
    comment_ends: int = 0
    digest: str = field(init=False)
    """SHA-256 of the pairs, in order."""

    @digest.default
    def _digest(self) -> str:
        state = hashlib.sha256()
        for pair in self.pairs:
            state.update(json.dumps([pair.docstring, pair.signature, pair.body]).encode("ascii"))
        return state.hexdigest()


def read_pairs(path: Path) -> Pairs:
    """Pairs of a JSONL file; a missing key is an empty text, empty lines do not count.

    Raises DataError, naming the file and the line, if it cannot be read, a line is no such object, or no pair is
    left.
    """
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"the docstring pairs {path} cannot be read: {error}.",
            todo="Check the path given as fim_pairs, or set fim_structured_rate to 0.",
        ) from None
    found = [_pair(line, f"{path}: line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    kept = tuple(pair for pair in found if "*/" not in pair.docstring)
    if not kept:
        raise DataError(
            f"{path} has no docstring pair to learn from; {len(found)} hold '*/' in the docstring.",
            todo="Give another file as fim_pairs, or set fim_structured_rate to 0.",
        )
    return Pairs(str(path), kept, comment_ends=len(found) - len(kept))


def _pair(line: str, where: str) -> Pair:
    try:
        content: Any = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where} is no JSON: {error}.", todo=_TODO) from None
    if not isinstance(content, dict):
        raise DataError(f"{where} is no JSON object.", todo=_TODO)
    texts = [content.get(key, "") for key in _KEYS]
    for key, text in zip(_KEYS, texts, strict=True):
        if not isinstance(text, str):
            raise DataError(f"{where}: {key} is {text!r}; it must be text.", todo=_TODO)
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise DataError(f"{where}: {key} holds half a surrogate pair, which no UTF-8 can hold.", todo=_TODO)
    return Pair(*texts)


def _block_comment(text: str) -> str:
    lines = text.split("\n")
    if len(lines) == 1:
        return f"/** {text} */"
    return "\n".join(["/**", *(f" * {line}" if line else " *" for line in lines), " */"])
