"""Decides with which arguments each file is parsed, and which files are parsed together."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath

from attrs import evolve, field, frozen

from nanoplug.corpus.clang_toolchain import Toolchain, ToolMissingError, system_arguments, system_includes
from nanoplug.corpus.compile_database import CompileCommand
from nanoplug.corpus.directives import configures_headers, directives_of
from nanoplug.corpus.missing_headers import MissingHeaders
from nanoplug.corpus.parse_unit import Unit
from nanoplug.corpus.project_index import Problem
from nanoplug.corpus.source_tree import SourceTree, TreeFile

ROUNDS = (64, 8, 1)
"""Files in a batch at most: at first, again for those that failed in their batch, and in the end each alone."""
HEADERS_PER_SOURCE = 4
"""A header without a source is mostly declarations: so many more of them make a batch."""
_STANDARD = {"c++": ("-std=c++17",), "c": ()}
_INCLUDED_FOLDERS = ("", "include", "src", "lib", "source")
_ALWAYS = ("-fsyntax-only", "-w", "-ferror-limit=0")
_USING = re.compile(rb"^using namespace[^;]*;", re.MULTILINE)
_UNQUOTABLE = re.compile(r'["\\\n\r]')
# These change where the compiler looks for system headers.
_SEARCH = re.compile(r"-(m32|m64|mx32|stdlib=.*|-sysroot=.*|isysroot.*|nostdinc|nostdinc\+\+)$")


@frozen(kw_only=True)
class Task:
    """One file to parse with one set of arguments. alone: it must not share a unit with others.

    group: files of equal `language`, `arguments` and `group` can be parsed together; both as `with_company` says.
    """

    file: TreeFile
    language: str
    arguments: tuple[str, ...]
    flags: tuple[str, ...] = field(eq=False, default=())
    group: bytes = b""
    alone: bool = False


class UnitPlan:
    """Tasks for the files of a tree. problems: what stands in the way of parsing."""

    def __init__(
        self,
        tree: SourceTree,
        commands: Sequence[CompileCommand],
        toolchain: Toolchain,
        include_dirs: Sequence[Path] = (),
    ) -> None:
        self._tree = tree
        self._toolchain = toolchain
        self._extra = tuple(f"-I{os.path.realpath(folder)}" for folder in include_dirs)
        self.problems: list[Problem] = []
        self._missing: dict[tuple[str, ...], MissingHeaders] = {}
        self._systems: dict[tuple[str, str, tuple[str, ...]], tuple[str, ...] | None] = {}
        self._own = self._by_name(commands)
        # The first command below each folder, for each language and for any.
        self._nearest: dict[tuple[PurePosixPath, str], CompileCommand] = {}
        for name, found in self._own.items():
            for folder in PurePosixPath(name).parents:
                for language in (self._tree.files[name].language, ""):
                    self._nearest.setdefault((folder, language), found[0])
        languages = {file.language for file in tree.files.values() if file.source}
        languages |= {command.language for found in self._own.values() for command in found}
        self._only_c = languages == {"c"}

    def sources(self) -> tuple[list[Task], list[TreeFile]]:
        """Tasks for every source, by its commands or else the nearest; and the sources that cannot be parsed."""
        return self._tasks(file for file in self._tree.files.values() if file.source)

    def headers(self, names: Iterable[str]) -> tuple[list[Task], list[TreeFile]]:
        """Tasks for headers that are parsed on their own, by the command of the nearest source."""
        return self._tasks(self._tree.files[name] for name in names)

    @property
    def without_command(self) -> frozenset[str]:
        """Sources that the compile database does not name."""
        return frozenset(name for name, file in self._tree.files.items() if file.source and name not in self._own)

    def _tasks(self, files: Iterable[TreeFile]) -> tuple[list[Task], list[TreeFile]]:
        tasks: list[Task] = []
        left: list[TreeFile] = []
        for file in files:
            made = [] if file.cuda else [self._task(file, command) for command in self._commands(file)]
            tasks.extend(dict.fromkeys(task for task in made if task))
            if not all(made) or not made:
                left.append(file)
        return tasks, left

    def _by_name(self, commands: Sequence[CompileCommand]) -> dict[str, list[CompileCommand]]:
        names = {file.path: file.name for file in self._tree.files.values()}
        found: dict[str, list[CompileCommand]] = {}
        unity: dict[str, list[CompileCommand]] = {}
        for command in commands:
            if command.file in names:
                found.setdefault(names[command.file], []).append(command)
                continue
            # A build's own unity file, outside of the tree, is compiled for the sources that it includes.
            for path in _quoted_includes(command.file):
                if path in names and self._tree.files[names[path]].source:
                    unity.setdefault(names[path], []).append(evolve(command, file=path))
        return dict(sorted({**unity, **found}.items()))

    def _commands(self, file: TreeFile) -> Sequence[CompileCommand | None]:
        """Those of the file itself, else the one of the nearest file in the tree, else None for the defaults."""
        if file.name in self._own:
            return self._own[file.name]
        wanted = file.language if file.source else ""
        above = (self._nearest.get((folder, wanted)) for folder in PurePosixPath(file.name).parents)
        return [next((command for command in above if command), None)]

    def _task(self, file: TreeFile, command: CompileCommand | None) -> Task | None:
        language = file.language if command is None or not file.source else command.language
        if not file.source and (self._only_c and file.name.endswith(".h")):
            language = "c"
        if command is None:
            folders = [self._tree.root / folder for folder in _INCLUDED_FOLDERS]
            flags = (*_STANDARD[language], *(f"-I{folder}" for folder in folders if folder.is_dir()))
        else:
            flags = _for_language(command.flags, language if language != command.language else "")
        flags = (*flags, *self._extra)
        system = self._system(command.compiler if command else "", language, flags)
        if system is None:
            return None
        return Task(file=file, language=language, flags=flags, arguments=(*flags, *_ALWAYS, *system))

    def with_company(self, tasks: Sequence[Task]) -> list[Task]:
        """The tasks, with what decides who shares their batch; that takes reading the files and what they include."""
        made = []
        for task in tasks:
            data = task.file.path.read_bytes()
            # What a header defines is meant for those after it.
            configures = task.file.source and configures_headers(data)
            alone = configures or _UNQUOTABLE.search(str(task.file.path)) is not None
            made.append(evolve(task, group=self._group(task.file, data, task.arguments), alone=alone))
        return made

    def _group(self, file: TreeFile, data: bytes, arguments: tuple[str, ...]) -> bytes:
        """What a file could do to others in its batch: directives of using, and errors for want of a header."""
        if arguments not in self._missing:
            self._missing[arguments] = MissingHeaders(arguments)
        using = sorted(set(_USING.findall(data))) if b"using namespace" in data else []
        return b"\n".join([b"lacks a header" if self._missing[arguments].lacks(file.path) else b"", *using])

    def _system(self, compiler: str, language: str, flags: Sequence[str]) -> tuple[str, ...] | None:
        """Arguments for the system's headers as `compiler` has them, or the usual compiler if that is not here."""
        usual = "g++" if language == "c++" else "gcc"
        searched = tuple(flag for flag in flags if _SEARCH.match(flag))
        key = (compiler, language, searched)
        if key not in self._systems:
            found = None
            for name in dict.fromkeys((compiler or usual, usual)):
                try:
                    found = system_arguments(self._toolchain, system_includes(name, language, searched))
                    break
                except ToolMissingError as error:
                    cause = f"no system headers: {name} cannot be asked"
                    self.problems.append(Problem(cause=cause, file="", detail=error.message))
            self._systems[key] = found
        return self._systems[key]


def batches(tasks: Sequence[Task], size: int) -> list[tuple[Task, ...]]:
    """Tasks that are parsed together, at most `size` each; a file twice is never in one batch."""
    groups: dict[object, list[Task]] = {}
    for task in tasks:
        key = (task.language, task.arguments, task.group, (task.file.name, task.flags) if task.alone else None)
        groups.setdefault(key, []).append(task)
    made: list[tuple[Task, ...]] = []
    for group in groups.values():
        count = -(-len(group) // size)
        # Even shares, of neighbours: files of one folder include the same headers.
        bounds = [len(group) * i // count for i in range(count + 1)]
        made.extend(tuple(group[a:b]) for a, b in pairwise(bounds))
    return made


def unit_of(batch: Sequence[Task]) -> Unit:
    """What a worker needs to parse a batch."""
    first = batch[0]
    files = tuple(str(task.file.path) for task in batch)
    return Unit(files=files, language=first.language, arguments=first.arguments)


def _quoted_includes(file: Path) -> list[Path]:
    """The files that `file` includes by quotes, relative to itself."""
    lines = directives_of(file.read_bytes())
    quoted = [line.rest[1:-1] for line in lines if line.word == "include" and line.rest.startswith(b'"')]
    return [Path(os.path.realpath(file.parent / os.fsdecode(name))) for name in quoted]


def _for_language(flags: tuple[str, ...], changed_to: str) -> tuple[str, ...]:
    """`flags` of a command for another language: its standard does not apply."""
    return tuple(flag for flag in flags if not flag.startswith("-std=")) if changed_to else flags
