"""How text is cut into pieces, within which bytes are merged.

The patterns mean the same in every engine that serves them (fancy-regex, Oniguruma, PCRE2, `re`): ASCII classes only,
a character above U+007F being a letter; no lookbehind, nothing possessive. Each ends in a catch-all, since an engine
may drop what no alternative matches.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_LETTER = r"[^\x00-@\[-^`\{-\x7F]"
_WORD = r"[^\x00-/:-@\[-^`\{-\x7F]"
_SPACE = r"[ \t-\r]"
_PUNCTUATION = r"[!-/:-@\[-^`\{-~]"
# Neither # nor a period that begins a number.
_RUN = r"(?:[!-\"$-\-/:-@\[-^`\{-~]|\.(?![0-9]))+"
_NAME = rf"{_LETTER}{_WORD}*"

_CHAIN = rf"{_NAME}(?:(?:::|->|\.)~?{_NAME})*"
# A directive, with what opens the name of a header.
_DIRECTIVE = rf"#+[ \t]*(?:[a-z]+(?!{_WORD})(?: [<\"])?)?"
# A number as the preprocessor sees it.
_NUMBER = rf" ?\.?[0-9](?:[eEpP][+\-]|'?{_WORD}|\.)*"
# Punctuation across spaces and lines, with the indentation behind it: `);\n}\n\n    `.
_RUNS = rf"(?:[ \t]*[\r\n]{_SPACE}*| ?){_RUN}(?:{_SPACE}+{_RUN})*{_SPACE}*"
_REST = rf"{_NUMBER}|{_RUNS}|{_SPACE}+|[\s\S]"

WORDS = rf"{_DIRECTIVE}| ?(?:[a-z]+ )?{_CHAIN}(?:\(\)?|<)?|{_REST}"
"""Pieces of about one word: a chain of names with the keyword or word before it and the bracket that it opens. A fixed
word is never the end or the middle of a longer name or number."""

STEMS = rf"{_DIRECTIVE}| ?{_CHAIN}(?: |\(\)?|<)?|{_REST}"
"""Pieces in the first stage of superwords: a name has the space behind it, so that a keyword and its space are one."""

LINES = "|".join(
    (
        # Up to 64 characters of a line, not cut inside a word, with the line's end, indentation and bare punctuation.
        rf"[^\r\n]{{1,64}}(?!{_WORD})(?:[\r\n]{_SPACE}*(?:{_PUNCTUATION}+{_SPACE}+)*)?",
        # A longer word.
        rf"[^\r\n]?{_WORD}+",
        rf"{_SPACE}+",
        r"[\s\S]",
    )
)
"""Pieces of up to a line, for superwords."""

STRETCH_CHARS = 16_384
"""Longer text is cut into stretches of at most this many characters, each on its own: regular expression engines run
out of stack on endless runs."""

# No piece of either pattern reaches over such a place: white space is always taken whole, and by what is before it.
_SEAM = re.compile(r"[\r\n][ \t]*(?=[A-Za-z0-9_])")
_SEARCHED_CHARS = 512


def stretches(text: str) -> Iterator[str]:
    """`text` in stretches, cut where no piece is cut; only where there is no such place, at `STRETCH_CHARS`."""
    start = 0
    while len(text) - start > STRETCH_CHARS:
        end = _last_seam(text, start + 1, start + STRETCH_CHARS)
        yield text[start:end]
        start = end
    yield text[start:]


def _last_seam(text: str, start: int, end: int) -> int:
    """The last place from `start` to `end` that no piece reaches over; `end` if there is none."""
    high = end
    while high > start:
        low = max(start, high - _SEARCHED_CHARS)
        # The lookahead must see the character after `end`, and indentation may begin before `low`.
        seams = [seam.end() for seam in _SEAM.finditer(text, low, min(high + _SEARCHED_CHARS, len(text)))]
        within = [seam for seam in seams if seam <= end]
        if within:
            return within[-1]
        high = low
    return end
