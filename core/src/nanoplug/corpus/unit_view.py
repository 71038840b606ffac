"""One parsed translation unit: its files, where cursors are, and how what they declare is named."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path
from typing import Any

from attrs import define, field

from nanoplug.corpus.clang_binding import CONTINUE, VISITOR, Cursor, Kind, Location, text_of
from nanoplug.corpus.project_paths import ProjectPaths
from nanoplug.corpus.short_keys import short_key

FUNCTIONS = frozenset(
    {Kind.FUNCTION, Kind.METHOD, Kind.CONSTRUCTOR, Kind.DESTRUCTOR, Kind.CONVERSION, Kind.FUNCTION_TEMPLATE}
)
TYPES = frozenset({Kind.STRUCT, Kind.UNION, Kind.CLASS, Kind.ENUM, Kind.CLASS_TEMPLATE, Kind.PARTIAL_SPECIALIZATION})

MAIN = "nanoplug_main_"
"""Begins what `main` is called while several files that have one share a unit."""
_MAIN_OF_BATCH = re.compile(rf"{MAIN}\d+")


@define(eq=False)
class SeenFile:
    """A file of the project as one unit sees it. definitions: by key. foreign: sources that it was found to depend on
    without including them, which happens only in a batch."""

    name: str
    handle: int
    data: bytes
    definitions: dict[str, dict[str, Any]] = field(factory=dict)
    preamble: list[list[Any]] = field(factory=list)
    borrowed: set[str] = field(factory=set)


class UnitView:
    """library: libclang. unit: the handle of the translation unit. paths: the project's files."""

    def __init__(self, library: Any, unit: Any, paths: ProjectPaths) -> None:
        self.library = library
        self.unit = unit
        self._paths = paths
        self.files: dict[str, SeenFile] = {}
        self._by_handle: dict[int | None, SeenFile | None] = {None: None}
        self._keys: dict[int, str] = {}
        self._short: dict[int, str] = {}
        self._qualified: dict[int, str] = {}
        self._file, self._line, self._column, self._offset = (
            ctypes.c_void_p(), ctypes.c_uint(), ctypes.c_uint(), ctypes.c_uint()
        )  # fmt: skip
        self._out = [ctypes.byref(value) for value in (self._file, self._line, self._column, self._offset)]

    def place(self, location: Location) -> tuple[SeenFile | None, int]:
        """The project's file and the byte offset in it; None for files that are not the project's."""
        self.library.clang_getFileLocation(location, *self._out)
        return self.file_of(self._file.value), self._offset.value

    def file_of(self, handle: int | None) -> SeenFile | None:
        """The project's file behind a CXFile."""
        if handle in self._by_handle:
            return self._by_handle[handle]
        path = text_of(self.library, self.library.clang_getFileName(handle))
        name = self._paths.name_of(path)
        seen = None
        if name and handle is not None:
            # One file reached by two paths (a link, `a/../b`) has two handles.
            seen = self.files.get(name) or SeenFile(name, handle, Path(path).read_bytes())
            self.files[name] = seen
        self._by_handle[handle] = seen
        return seen

    def file_name(self, location: Location) -> str:
        """The path as clang has it, "" for none."""
        self.library.clang_getFileLocation(location, *self._out)
        return text_of(self.library, self.library.clang_getFileName(self._file)) if self._file.value else ""

    def line(self, location: Location) -> int:
        """1-based."""
        self.library.clang_getFileLocation(location, *self._out)
        return int(self._line.value)

    def extent(self, cursor: Cursor) -> tuple[SeenFile | None, int, int]:
        """File and byte offsets; macros count where they are used, and no file if it spans two."""
        extent = self.library.clang_getCursorExtent(cursor)
        file, start = self.place(self.library.clang_getRangeStart(extent))
        other, end = self.place(self.library.clang_getRangeEnd(extent))
        return (file, start, end) if file is other and start < end else (None, 0, 0)

    def children(self, cursor: Cursor) -> list[Cursor]:
        found: list[Cursor] = []

        def visit(child: Cursor, parent: Cursor, data: Any) -> int:
            found.append(Cursor.from_buffer_copy(child))
            return CONTINUE

        self.library.clang_visitChildren(cursor, VISITOR(visit), None)
        return found

    def spelling(self, cursor: Cursor) -> str:
        name = _plain_main(text_of(self.library, self.library.clang_getCursorSpelling(cursor)))
        # clang's names for what has none: `(anonymous namespace)`, `enum (unnamed at /path/file.h:1:2)`.
        return "" if "(unnamed" in name or "(anonymous" in name else name

    def key(self, cursor: Cursor) -> str:
        """The USR, with the whole name of the file where clang puts only its last part."""
        found = self._keys.get(cursor.decl)
        if found is None:
            found = _plain_main(text_of(self.library, self.library.clang_getCursorUSR(cursor)))
            if not found.startswith("c:@"):
                canonical = self.library.clang_getCanonicalCursor(cursor)
                file, _ = self.place(self.library.clang_getCursorLocation(canonical))
                found = _with_file(found, file.name if file else "")
            self._keys[cursor.decl] = found
        return found

    def short_key(self, cursor: Cursor) -> str:
        """As references have it."""
        found = self._short.get(cursor.decl)
        if found is None:
            found = self._short[cursor.decl] = short_key(self.key(cursor))
        return found

    def qualified(self, cursor: Cursor) -> str:
        """`outer::inner` by meaning, not by where it is written; unnamed parts are left out."""
        found = self._qualified.get(cursor.decl)
        if found is None:
            parent = self.library.clang_getCursorSemanticParent(cursor)
            named = parent.kind in TYPES or parent.kind == Kind.NAMESPACE
            outer = self.qualified(parent) if named else ""
            found = "::".join(part for part in (outer, self.name(cursor)) if part)
            self._qualified[cursor.decl] = found
        return found

    def name(self, cursor: Cursor) -> str:
        name = self.spelling(cursor)
        if cursor.kind in (Kind.CONSTRUCTOR, Kind.DESTRUCTOR, Kind.FUNCTION_TEMPLATE) and "operator" not in name:
            return name.partition("<")[0]
        return name


def _plain_main(text: str) -> str:
    return _MAIN_OF_BATCH.sub("main", text) if MAIN in text else text


def _with_file(usr: str, name: str) -> str:
    head, mark, tail = usr.partition("@")
    return f"c:{name}{mark}{tail}" if name and head.startswith("c:") else usr
