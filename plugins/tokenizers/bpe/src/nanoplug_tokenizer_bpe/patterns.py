"""How text is split before merging. No merge crosses a boundary of these pieces.

Every pattern covers every character, and cannot match nothing: text between matches would be lost.
"""

from __future__ import annotations

from collections.abc import Mapping

PATTERNS: Mapping[str, str] = {
    # English contraction endings; a letter run with at most one other character before it; one or two
    # digits; symbols with the newlines behind them; whitespace to a newline; whitespace.
    "gpt4": (
        r"'(?i:[sdmt]|ll|ve|re)"
        r"|[^\r\n\p{L}\p{N}]?+\p{L}+"
        r"|\p{N}{1,2}"
        r"| ?[^\s\p{L}\p{N}]++[\r\n]*"
        r"|\s*[\r\n]"
        r"|\s+(?!\S)"
        r"|\s+"
        r"|(?s:.)"
    ),
    # As above without English, and a line end goes together with the indentation of the next line.
    "code": (
        r"[^\r\n\p{L}\p{N}]?+\p{L}+"
        r"|\p{N}{1,2}"
        r"| ?[^\s\p{L}\p{N}]++[\r\n]*+[ \t]*+"
        r"|\s+"
        r"|(?s:.)"
    ),
}

STRETCH_CHARS = 200_000
"""Longer text is split in stretches of this many characters, each on its own: the regex engine's
stack overflows on about a million spaces in a row."""
