"""Guesses, before anything is parsed, which files include a header that is not there.

Such files are kept apart: an error in one file of a batch costs the others a second parse.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from nanoplug.corpus.directives import Directive, directives_of

_SEARCHED = ("-I", "-isystem", "-iquote", "-idirafter", "-internal-isystem", "-internal-externc-isystem")

_CONDITIONS = ("if", "ifdef", "ifndef")


class MissingHeaders:
    """arguments: for clang; their folders are searched."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._folders = tuple(_folders(arguments))
        self._found: dict[str, str] = {}
        self._included: dict[str, frozenset[str]] = {}
        self._lacking: set[str] = set()
        self._clean: set[str] = set()

    def lacks(self, path: Path) -> bool:
        """Whether `path`, or a header that it surely includes, includes what is in none of the folders."""
        reached = [str(path)]
        known = set(reached)
        for file in reached:
            targets = self._targets(file)
            if file in self._lacking or "" in targets:
                self._lacking.add(str(path))
                return True
            new = [target for target in targets if target not in known and target not in self._clean]
            known.update(new)
            reached += new
        self._clean |= known
        return False

    def _targets(self, file: str) -> frozenset[str]:
        """The files that `file` surely includes, and "" for what is nowhere; the system's own are not looked into."""
        if file not in self._included:
            system = file.startswith("/usr/")
            includes = () if system else _sure_includes(file)
            self._included[file] = frozenset(self._resolve(file, name, quoted) for quoted, name in includes)
        return self._included[file]

    def _resolve(self, file: str, name: str, quoted: bool) -> str:
        beside = os.path.normpath(os.path.join(os.path.dirname(file), name))
        if quoted and os.path.isfile(beside):
            return beside
        if name not in self._found:
            paths = (os.path.normpath(os.path.join(folder, name)) for folder in self._folders)
            self._found[name] = next((path for path in paths if os.path.isfile(path)), "")
        return self._found[name]


def _folders(arguments: Sequence[str]) -> list[str]:
    """In any order: only whether a header is there counts."""
    words = [word for word in arguments if word != "-Xclang"]
    found = []
    for number, word in enumerate(words):
        if word in _SEARCHED:
            found.append(words[number + 1])
        elif word.startswith(_SEARCHED):
            found.append(next(word[len(start) :] for start in _SEARCHED if word.startswith(start)))
    return found


@lru_cache(maxsize=16384)
def _sure_includes(file: str) -> tuple[tuple[bool, str], ...]:
    """(quoted, name) of the includes that no condition is around, but for one around the whole file."""
    lines = directives_of(Path(file).read_bytes())
    if lines and lines[0].word in _CONDITIONS and lines[-1].word == "endif":
        # Around the whole file: an include guard, or a switch that is usually on.
        lines = lines[1:-1]
    depth = 0
    found = []
    for line in lines:
        if line.word in _CONDITIONS:
            depth += 1
        elif line.word == "endif":
            depth = max(0, depth - 1)
        elif line.word == "include" and depth == 0 and (named := _name(line)):
            found.append(named)
    return tuple(found)


def _name(line: Directive) -> tuple[bool, str] | None:
    closing = {b'"': b'"', b"<": b">"}.get(line.rest[:1])
    end = line.rest.find(closing, 1) if closing else -1
    return (line.rest[:1] == b'"', os.fsdecode(line.rest[1:end])) if end > 0 else None
