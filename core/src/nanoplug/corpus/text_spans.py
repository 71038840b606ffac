"""Where the text of a definition begins and ends, read from the file's bytes around what the parser says."""

from __future__ import annotations

import re

_BLANK = re.compile(rb"(?:\s|//[^\n]*\n|/\*.*?\*/)*", re.DOTALL)
_MARGIN = b" \t\r\xef\xbb\xbf"  # a byte order mark too
_DEFAULT = re.compile(rb"\s*=\s*default\b")
_DECLARATORS = re.compile(rb"[^;{}#\n]{0,200};")


def with_semicolon(data: bytes, end: int) -> int:
    """`end` of a type, moved behind its `;`, and behind names declared between `}` and `;`."""
    if data[end - 1 : end] == b";":
        return end
    blank = _BLANK.match(data, end)
    found = _DECLARATORS.match(data, blank.end() if blank else end)
    return found.end() if found else end


def with_default(data: bytes, start: int, end: int) -> int:
    """`end` of a function that is `= default`, moved behind that and its `;`; 0 if the text does not say so."""
    found = _DEFAULT.search(data, start, end) or _DEFAULT.match(data, end)
    return with_semicolon(data, found.end()) if found else 0


def with_outer_templates(data: bytes, start: int) -> int:
    """`start` of a member template, moved to the template headers of its class before it."""
    while (end := len(data[:start].rstrip())) and data[end - 1 : end] == b">":
        depth, at = 1, end - 1
        while depth and at > 0:
            at -= 1
            depth += (data[at : at + 1] == b">") - (data[at : at + 1] == b"<")
        head = data[max(0, at - 80) : at].rstrip()
        if depth or not head.endswith(b"template"):
            break
        start = max(0, at - 80) + len(head) - len(b"template")
    return start


def comment_before(data: bytes, start: int) -> int:
    """Where the comment that documents the text at `start` begins: lines of `//` or blocks directly above it.

    `start` itself if there is none, or if other text stands before `start` on its line.
    """
    line = data.rfind(b"\n", 0, start) + 1
    if data[line:start].strip(_MARGIN):
        return start
    first = line
    while line > 0:
        above = data.rfind(b"\n", 0, line - 1) + 1
        text = data[above : line - 1].strip(_MARGIN)
        if text.startswith(b"//"):
            line = above
        elif text.endswith(b"*/"):
            opening = data.rfind(b"/*", 0, line - 1)
            above = data.rfind(b"\n", 0, max(opening, 0)) + 1
            if opening < 0 or data[above:opening].strip(_MARGIN) or b"*/" in data[opening : line - 1].strip()[:-2]:
                break
            line = above
        else:
            break
        first = line
    whole = data[first:start]
    return first + len(whole) - len(whole.lstrip(_MARGIN))
