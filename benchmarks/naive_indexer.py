"""The indexer that one writes first, as the peer to be faster than: clang's own Python bindings, one file at a time.

Every translation unit is parsed whole with its own flags, then every cursor in files of the project is walked; what a
header defines is walked again for each file that includes it. No work is shared and nothing is cached.
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from attrs import define, field, frozen
from project_truth import Entry, is_project

Key = tuple[str, str, int]
"""File below the root, plain name, byte offset of the body."""


@frozen
class NaiveFunction:
    usr: str
    key: Key


@define(slots=True)
class NaiveIndex:
    """edges: caller's and callee's USR, both defined in the project. seconds: of the processor."""

    functions: dict[str, NaiveFunction] = field(factory=dict)
    edges: set[tuple[str, str]] = field(factory=set)
    main_files: set[str] = field(factory=set)
    units: int = 0
    failed: list[str] = field(factory=list)
    parse_s: float = 0.0
    walk_s: float = 0.0


def resource_folder() -> Path:
    """clang's own headers (stddef.h and the like), which the libclang wheel lacks and the clang-tidy wheel has."""
    found = importlib.util.find_spec("clang_tidy")
    places = list(found.submodule_search_locations or []) if found else []
    for place in places:
        for folder in sorted(Path(place, "data/lib/clang").glob("*")):
            return folder
    raise SystemExit("clang's headers are not here: pip install clang-tidy==18.1.8, or give --resource-dir.")


def naive_index(entries: Iterable[Entry], root: Path, resource: Path) -> NaiveIndex:
    from clang import cindex

    result = NaiveIndex()
    index = cindex.Index.create()
    before = Path.cwd()
    for entry in entries:
        os.chdir(entry.directory)
        start = time.process_time()
        arguments = [
            word for word in entry.arguments if os.path.normpath(os.path.join(entry.directory, word)) != entry.file
        ]
        try:
            unit = index.parse(entry.file, [*arguments, f"-resource-dir={resource}"])
        except cindex.TranslationUnitLoadError:
            result.failed.append(entry.file)
            continue
        parsed = time.process_time()
        if any(problem.severity >= cindex.Diagnostic.Error for problem in unit.diagnostics):
            result.failed.append(entry.file)
        result.main_files.add(os.path.relpath(entry.file, root))
        Walk(result, root).unit(unit)
        result.parse_s += parsed - start
        result.walk_s += time.process_time() - parsed
        result.units += 1
        del unit
    os.chdir(before)
    result.edges = {edge for edge in result.edges if edge[1] in result.functions}
    return result


class Walk:
    """One translation unit's cursors."""

    def __init__(self, result: NaiveIndex, root: Path) -> None:
        from clang.cindex import CursorKind

        self.result, self.root = result, root
        self.ours: dict[str, str] = {}
        self.functions = {
            CursorKind.FUNCTION_DECL,
            CursorKind.CXX_METHOD,
            CursorKind.CONSTRUCTOR,
            CursorKind.DESTRUCTOR,
            CursorKind.CONVERSION_FUNCTION,
            CursorKind.FUNCTION_TEMPLATE,
        }
        self.bodies = {CursorKind.COMPOUND_STMT, CursorKind.CXX_TRY_STMT}
        self.call = CursorKind.CALL_EXPR

    def relative(self, name: str) -> str:
        """The path below the root, or "" outside of it."""
        if name not in self.ours:
            real = os.path.realpath(name)
            self.ours[name] = os.path.relpath(real, self.root) if is_project(real, self.root) else ""
        return self.ours[name]

    def unit(self, unit: Any) -> None:
        for child in unit.cursor.get_children():
            place = child.location.file
            if place is not None and self.relative(place.name):
                self.declaration(child)

    def declaration(self, cursor: Any) -> None:
        kind = cursor.kind
        if kind in self.functions:
            if cursor.is_definition():
                self.function(cursor)
            return
        if kind.is_declaration() or kind.is_unexposed():
            for child in cursor.get_children():
                self.declaration(child)

    def function(self, cursor: Any) -> None:
        body = next((child for child in cursor.get_children() if child.kind in self.bodies), None)
        # A `= default` that is used has a body of clang's own making.
        if body is None or cursor.is_default_method():
            return
        usr = cursor.get_usr()
        name = cursor.spelling
        key = (self.relative(cursor.location.file.name), name, body.extent.start.offset)
        self.result.functions.setdefault(usr, NaiveFunction(usr, key))
        for inside in cursor.walk_preorder():
            if inside.kind == self.call:
                callee = inside.referenced
                if callee is not None and callee.kind in self.functions:
                    self.result.edges.add((usr, callee.get_usr()))
