"""Where the brace blocks of a C++ source are, found without parsing it: comments, literals and directives aside."""

from __future__ import annotations

import re

# What may hold braces that mean nothing comes first; the apostrophes of 1'000 begin no character. What is left open
# reaches to the end: a piece of a document may stop anywhere.
_PIECE = re.compile(
    r"""
      (?P<aside> //(?:\\\r?\n|[^\n])* | /\*.*?(?:\*/|\Z) | ^[ \t]*\#(?:\\\r?\n|[^\n])* )
    | (?P<literal>
          R"(?P<mark>[^()\\\s]{0,16})\(.*?(?:\)(?P=mark)"|\Z)
        | "(?:\\.|[^"\\\n])*"
        | '(?:\\.|[^'\\\n])*'
        | \b[0-9](?:'?[\w.])*
      )
    | (?P<sign> [{};] )
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_TRANSPARENT = re.compile(r'\bnamespace\b[^()=]*$|\bextern\s*"[^"]*"\s*$')


def brace_blocks(text: str) -> list[tuple[int, int]]:
    """(start, end) of each outermost brace block with its braces, in order; namespaces and extern "C" are looked into.

    Braces that do not match are passed over.
    """
    blocks: list[tuple[int, int]] = []
    open_at: list[int | None] = []  # None: a namespace
    head: list[str] = []  # the code since the last brace or semicolon
    after = 0
    for piece in _PIECE.finditer(text):
        head.append(text[after : piece.start()])
        after = piece.end()
        sign = piece["sign"]
        if sign is None:
            head.append(piece[0] if piece["literal"] else " ")
            continue
        if sign == "{":
            outermost = all(start is None for start in open_at)
            looked_into = outermost and _TRANSPARENT.search("".join(head)) is not None
            open_at.append(None if looked_into else piece.start())
        elif sign == "}" and open_at:
            start = open_at.pop()
            if start is not None and all(outer is None for outer in open_at):
                blocks.append((start, piece.end()))
        head = []
    return blocks
