"""Where a completion of C++ ends: the brace that closes everything open."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"\.?\d(?:[eEpP][+-]|'(?=\w)|[\w.])*")
_WORD = re.compile(r"[A-Za-z_]\w*")
_RAW_PREFIXES = frozenset({"R", "LR", "uR", "UR", "u8R"})
_RAW_START = re.compile(r'"([^\s()\\"]{0,16})\(')
_LINE_COMMENT = re.compile(r"//(?:\\\r?\n|[^\n])*")
_STRING = re.compile(r'"(?:\\\r?\n|\\.|[^"\\\n])*"?')
_CHARACTER = re.compile(r"'(?:\\.|[^'\\\n])*'?")
_SEMICOLON = re.compile(r"\s*;")


def completion_end(prompt: str, completion: str) -> int | None:
    """Length of the part of `completion` that belongs to the prompt's code, or None if it is not finished.

    That part ends where the brace depth of prompt + completion returns to 0, or just before a `}` that closes
    nothing. Braces in strings, character and raw string literals and comments do not count, and the quote in
    1'000 opens no literal. A `;` right after the last brace belongs to it, since classes need it.
    """
    text, start = prompt + completion, len(prompt)
    depth, at = 0, 0
    while at < len(text):
        after, brace = _piece(text, at)
        if brace == "{":
            depth += 1
        elif brace == "}":
            if depth == 0 and at >= start:
                return at - start
            depth = max(depth - 1, 0)
            if depth == 0 and at >= start:
                semicolon = _SEMICOLON.match(text, after)
                return (semicolon.end() if semicolon else after) - start
        at = after
    return None


def cut(prompt: str, completion: str) -> str:
    """`completion` up to its end by `completion_end`; all of it if that is not there."""
    end = completion_end(prompt, completion)
    return completion if end is None else completion[:end]


def is_whole(prompt: str, completion: str) -> bool:
    """Whether more text can no longer change where `completion` ends, so that generation may stop."""
    end = completion_end(prompt, completion)
    return end is not None and (completion[:end].endswith(";") or bool(completion[end:].strip()))


def _piece(text: str, at: int) -> tuple[int, str]:
    """Where the lexical piece at `at` ends, and the brace if it is one. Literals and comments are one piece."""
    character = text[at]
    if number := _NUMBER.match(text, at):
        return number.end(), ""
    if word := _WORD.match(text, at):
        if word[0] in _RAW_PREFIXES and (raw := _RAW_START.match(text, word.end())):
            return _after(text, f'){raw[1]}"', raw.end()), ""
        return word.end(), ""
    if character == '"':
        return _matched(_STRING, text, at), ""
    if character == "'":
        return _matched(_CHARACTER, text, at), ""
    if text.startswith("//", at):
        return _matched(_LINE_COMMENT, text, at), ""
    if text.startswith("/*", at):
        return _after(text, "*/", at + 2), ""
    return at + 1, character if character in "{}" else ""


def _matched(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    assert match is not None
    return match.end()


def _after(text: str, closer: str, at: int) -> int:
    found = text.find(closer, at)
    return len(text) if found < 0 else found + len(closer)
