"""Reads compile_commands.json: for each source file, the flags that it is compiled with."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from attrs import frozen

from nanoplug.corpus.project_index import Problem
from nanoplug.errors import DataError

NAME = "compile_commands.json"
_USUAL_FOLDERS = ("", "build", "out", "cmake-build-debug", "cmake-build-release", "builddir")
_C_ENDINGS = frozenset({".c"})
# Followed by a value that is not for the parser.
_DROPPED_WITH_VALUE = frozenset({"-o", "-MF", "-MT", "-MQ", "-MJ", "-dumpbase", "-dumpdir", "-aux-info"})
_DROPPED = frozenset({"-c", "-S", "-E", "-M", "-MM", "-MD", "-MMD", "-MP", "-MG", "-pipe", "--", "-save-temps"})
# Those for generated code too: fewer kinds of commands share more parsing.
_NOT_PARSED = ("-fvisibility", "-ffunction-sections", "-fdata-sections", "-fdebug-prefix-map=")
_DROPPED_STARTS = (*_NOT_PARSED, "-MF", "-MT", "-MQ", "-MJ", "-save-temps=", "-fdiagnostics-color", "-W", "-g")
_PATHS = ("-isystem", "-iquote", "-idirafter", "-include", "-imacros", "-isysroot", "--sysroot", "-iprefix", "-I", "-F")
_KEPT_WITH_VALUE = frozenset({"-D", "-U", "-x", "-Xclang", "-target", "-arch", "--param", "-Xpreprocessor", "-std"})
_LINKED = (".o", ".obj", ".a", ".so", ".lib", ".dylib")
_LAUNCHERS = frozenset({"ccache", "sccache", "distcc", "icecc"})


@frozen(kw_only=True)
class CompileCommand:
    """file: its real path. language: `c` or `c++`. flags: for the parser, paths absolute, order kept.

    compiler: as the command names it, or "" if nothing is compiled by it.
    """

    file: Path
    language: str
    flags: tuple[str, ...]
    compiler: str = ""


def find_database(root: Path) -> Path | None:
    """compile_commands.json in `root` or one of the usual build folders directly below it."""
    places = [root / folder / NAME for folder in _USUAL_FOLDERS]
    return next((path for path in places if path.is_file()), None)


def read_database(path: Path) -> tuple[list[CompileCommand], list[Problem]]:
    """Each distinct command of the database, in its order, and what was wrong with the other entries.

    Raises DataError if the file cannot be read or is no compile database at all.
    """
    todo = "Make it anew (cmake -DCMAKE_EXPORT_COMPILE_COMMANDS=ON), or index without a compile database."
    try:
        entries: Any = json.loads(path.read_bytes().decode("utf-8", "surrogateescape"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}.", todo=todo) from error
    if not isinstance(entries, list):
        raise DataError(f"{path} is no compile database: a list of entries was expected.", todo=todo)
    commands: dict[CompileCommand, None] = {}
    problems: list[Problem] = []
    for number, entry in enumerate(entries):
        try:
            command = _command(entry)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            detail = f"entry {number}: {type(error).__name__}: {error}"
            problems.append(Problem(cause="bad entry in the compile database", file=path.name, detail=detail))
            continue
        if command.file.is_file():
            commands[command] = None
        else:
            cause = "the compile database names a file that is not there"
            problems.append(Problem(cause=cause, file=str(command.file)))
    return list(commands), problems


def language_of(name: str) -> str:
    """By the ending of a file's name; headers are C++."""
    return "c" if os.path.splitext(name)[1] in _C_ENDINGS else "c++"


def _command(entry: dict[str, Any]) -> CompileCommand:
    directory = Path(entry["directory"])
    if "arguments" in entry:
        words = [str(word) for word in entry["arguments"]]
    else:
        words = _split(entry["command"])
    if not words:
        raise ValueError("the command is empty")
    file = Path(os.path.realpath(directory / entry["file"]))
    while len(words) > 1 and Path(words[0]).name in _LAUNCHERS:
        words = words[1:]
    flags = tuple(_flags(_expanded(words[1:], directory), directory, file))
    language = language_of(file.name)
    if chosen := [i for i, flag in enumerate(flags) if flag == "-x"]:
        language = "c" if flags[chosen[-1] + 1] == "c" else "c++"
        flags = tuple(flag for i, flag in enumerate(flags) if i not in chosen and i - 1 not in chosen)
    elif Path(words[0]).name.endswith("++") and language == "c":
        language = "c++"
    return CompileCommand(file=file, language=language, flags=flags, compiler=words[0])


def _split(command: str) -> list[str]:
    """As a shell does; without quotes and backslashes that is a split at blanks, and a hundred times faster."""
    return shlex.split(command) if any(mark in command for mark in "\"'\\") else command.split()


def _expanded(words: Sequence[str], directory: Path) -> Iterator[str]:
    """Words, those of response files (`@name`) in their place."""
    for word in words:
        path = directory / word[1:]
        if word.startswith("@") and path.is_file():
            yield from _split(path.read_text("utf-8", "surrogateescape"))
        else:
            yield word


def _flags(words: Iterator[str], directory: Path, file: Path) -> Iterator[str]:
    for word in words:
        if word in _DROPPED_WITH_VALUE:
            next(words, None)
        elif word in _DROPPED or (word.startswith(_DROPPED_STARTS) and not word.startswith("-Wp,")):
            continue
        elif word.startswith("-x") and len(word) > 2:
            yield from ("-x", word[2:])
        elif word in _PATHS:
            yield word
            yield _absolute(next(words, ""), directory)
        elif word in _KEPT_WITH_VALUE:
            yield word
            yield next(words, "")
        elif word.startswith("-"):
            yield _with_absolute_path(word, directory)
        elif not word.endswith(_LINKED) and os.path.realpath(directory / word) != str(file):
            yield word


def _with_absolute_path(word: str, directory: Path) -> str:
    """`-Ifolder` and `--sysroot=folder` with the folder absolute; other words as they are."""
    for start in _PATHS:
        if word.startswith(start + "="):
            return start + "=" + _absolute(word[len(start) + 1 :], directory)
        if word.startswith(start) and not start.startswith("--") and start not in ("-include", "-imacros", "-F"):
            return start + _absolute(word[len(start) :], directory)
    return word


@lru_cache(maxsize=4096)
def _absolute(path: str, directory: Path) -> str:
    return path if path.startswith("=") else os.path.normpath(os.path.join(directory, path))
