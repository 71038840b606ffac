"""Preprocessor lines of a file, found without a preprocessor; comments and strings are passed over."""

from __future__ import annotations

import re
from functools import lru_cache

from attrs import frozen

_TOKEN = re.compile(
    rb"""//(?:[^\n\\]|\\\r?\n|\\.)*"""
    rb"""|/\*.*?\*/"""
    rb"""|(?:u8|[uUL])?R"(?P<mark>[^()\\\s]{0,16})\(.*?\)(?P=mark)\""""
    rb"""|"(?:[^"\\\n]|\\.)*"|(?<![0-9A-Za-z_])'(?:[^'\\\n]|\\.)*'"""
    rb"""|^(?:\xef\xbb\xbf)?[ \t]*(?P<hash>\#)[ \t]*(?P<word>[a-z_]+)"""
    rb"""(?P<rest>(?:[^\n\\/]|\\\r?\n|\\.|/(?![/*])|/\*.*?\*/)*)""",
    re.DOTALL | re.MULTILINE,
)
_NAME = re.compile(rb"[A-Za-z_]\w*")


@frozen
class Directive:
    """word: `include`, `define`, `if` ... start: byte offset of `#`; end: behind the line, its continuations included.

    rest: what follows the word, stripped.
    """

    word: str
    start: int
    end: int
    rest: bytes

    @property
    def name(self) -> bytes:
        """The name that `define`, `ifndef` and the like are about."""
        found = _NAME.match(self.rest)
        return found.group() if found else b""


@lru_cache(maxsize=8192)
def directives_of(data: bytes) -> tuple[Directive, ...]:
    """In order."""
    found = []
    for match in _TOKEN.finditer(data):
        if match.group("hash"):
            rest = match.group("rest")
            end = match.start("rest") + len(rest.rstrip())
            found.append(Directive(match.group("word").decode(), match.start("hash"), end, rest.strip()))
    return tuple(found)


def defined_names(data: bytes) -> list[str]:
    """Names of macros that the file defines, each once."""
    names = dict.fromkeys(line.name.decode() for line in directives_of(data) if line.word == "define")
    return [name for name in names if name]


def configures_headers(data: bytes) -> bool:
    """Whether it defines or undefines a macro before its last include, which may change what that header says."""
    end = max(0, data.rfind(b"include"))
    if data.find(b"define", 0, end) < 0 and data.find(b"undef", 0, end) < 0:
        return False
    lines = directives_of(data)
    guard = guard_of(data)
    last = max((i for i, line in enumerate(lines) if line.word.startswith("include")), default=0)
    return any(line.word in ("define", "undef") and line.start != guard for line in lines[:last])


def guard_of(data: bytes) -> int:
    """Where the define of the include guard starts, or -1."""
    lines = [line for line in directives_of(data) if line.word != "pragma"][:2]
    if [line.word for line in lines] not in (["ifndef", "define"], ["if", "define"]):
        return -1
    return lines[1].start if lines[1].name in lines[0].rest else -1
