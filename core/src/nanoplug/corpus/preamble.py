"""What a document begins with: the includes of its root's file, and the short declarations that its text leans on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from attrs import field, frozen

from nanoplug.corpus.document_text import Part

_WORD = re.compile(r"[^\W\d]\w*")
_NAMES = {
    "define": re.compile(r"#\s*define\s+(\w+)"),
    "alias": re.compile(r"\busing\s+(\w+)"),
    "namespace_alias": re.compile(r"\bnamespace\s+(\w+)"),
}
_POINTER_TO_FUNCTION = re.compile(r"\(\s*[\w:]*\s*\*\s*(?:const\s+)?(\w+)")
_LAST_NAME = re.compile(r"(\w+)\s*(?:\[[^\]]*\]\s*)*(?:;|$)")
_FORWARD = re.compile(r"\b(?:class|struct|union|enum)\s+(?:(?:class|struct)\s+)?(?:[A-Z_]+\s+|\[\[.*?\]\]\s*)?(\w+)")


@frozen
class PreambleText:
    """A preamble part with its text. start: byte offset in its file.

    name: what it introduces; None if it counts for the whole file, or that cannot be told. words: those of its text.
    """

    kind: str
    start: int
    part: Part
    name: str | None = field(init=False)
    words: frozenset[str] = field(init=False)

    @name.default
    def _name(self) -> str | None:
        return _introduced(self.kind, self.part.text)

    @words.default
    def _words(self) -> frozenset[str]:
        return frozenset(words_of(self.part.text)) if self.kind != "include" else frozenset()


def words_of(text: str) -> set[str]:
    """Every identifier and keyword in `text`."""
    return set(_WORD.findall(text))


def fitting_preamble(
    preamble: Sequence[PreambleText], *, words: set[str], shown_types: set[str], before: int
) -> list[Part]:
    """The parts of a file's preamble that a document needs, in the file's order.

    Includes and `using namespace` always belong to it; a macro, alias, typedef, using or forward declaration only if
    what it introduces is among `words`, or is named by a part that is kept. A forward declaration of what is shown
    whole, one of `shown_types`, is left out. Only what stands before byte offset `before`, the root, is considered.
    """
    words = set(words)
    kept: list[Part] = []
    for each in reversed([each for each in preamble if each.start < before]):
        if each.kind == "forward" and each.name in shown_types:
            continue
        if each.name is None or each.name in words:
            words |= each.words
            kept.append(each.part)
    return _without_copies(reversed(kept))


def _introduced(kind: str, text: str) -> str | None:
    if kind == "include" or (kind == "using" and re.match(r"\s*using\s+namespace\b", text)):
        return None
    if kind == "forward":
        found = _FORWARD.search(text)
    elif kind in _NAMES:
        found = _NAMES[kind].search(text)
    else:
        found = (kind == "typedef" and _POINTER_TO_FUNCTION.search(text)) or _LAST_NAME.search(text.strip())
    return found.group(1) if found else None


def _without_copies(parts: Iterable[Part]) -> list[Part]:
    """Parts once each, those that follow each other in one namespace joined: a line each, not a paragraph."""
    joined: list[Part] = []
    for part in dict.fromkeys(parts):
        if joined and joined[-1].scope == part.scope:
            joined[-1] = Part(part.scope, f"{joined[-1].text}\n{part.text}")
        else:
            joined.append(part)
    return joined
