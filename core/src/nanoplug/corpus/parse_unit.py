"""Parses one unit (a file, or a batch of files that are compiled alike) and records what it holds. Runs in a worker."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from nanoplug.corpus.clang_binding import (
    CONTINUE,
    DETAILED_PREPROCESSING_RECORD,
    ERROR,
    INCLUSION_VISITOR,
    KEEP_GOING,
    Cursor,
    Location,
    Range,
    UnsavedFile,
    file_visitor,
    load_library,
    text_of,
)
from nanoplug.corpus.declaration_walk import DeclarationWalk
from nanoplug.corpus.directives import defined_names, directives_of, guard_of
from nanoplug.corpus.project_paths import ProjectPaths
from nanoplug.corpus.reference_walk import instantiations
from nanoplug.corpus.unit_view import MAIN, SeenFile, UnitView

_OPTIONS = DETAILED_PREPROCESSING_RECORD | KEEP_GOING
_UNKNOWN_FLAG = re.compile(r"^(?:unknown argument:?|unsupported option|unknown target CPU) '([^']+)'")
_MISSING = re.compile(r"^'([^']+)' file not found")
_MAIN = re.compile(rb"\bmain\s*\(")
_MAX_DROPPED_FLAGS = 40
BATCH_NAME = "nanoplug_batch"


@frozen(kw_only=True)
class Unit:
    """files: absolute paths, parsed together in this order. arguments: for clang, all but the files."""

    files: tuple[str, ...]
    language: str
    arguments: tuple[str, ...]


@define
class UnitFacts:
    """What a worker sends back; plain values only, so that it can be stored as JSON.

    errors: for each file of the unit with errors, [kind, text] each: kind `missing` (a header was not found),
        `borrowed` (it depends on another file of its batch), `error`, or `failed` (clang gave nothing).
    flags: those that clang does not know. facts: digest of each project file's facts, by name. includes: the project's
    files that each file includes, directly. outside: files of others that were read. instances: digests likewise.
    blobs: the facts behind digests that this worker has not sent before. names: qualified names, by short key, of
    functions of the project that are called here and defined elsewhere.
    """

    errors: dict[str, list[list[str]]] = field(factory=dict)
    flags: list[str] = field(factory=list)
    facts: dict[str, str] = field(factory=dict)
    includes: dict[str, list[str]] = field(factory=dict)
    outside: list[str] = field(factory=list)
    instances: list[str] = field(factory=list)
    blobs: dict[str, Any] = field(factory=dict)
    names: dict[str, str] = field(factory=dict)


class UnitParser:
    """library: path of libclang. names: real path to name of each file of the project."""

    def __init__(self, library: str, names: Mapping[str, str]) -> None:
        self._library = load_library(Path(library))
        self._paths = ProjectPaths(names)
        self._sent: set[str] = set()
        self._usable: dict[tuple[str, ...], tuple[list[str], list[str]]] = {}

    def parse(self, unit: Unit) -> UnitFacts:
        """Facts about the unit's files and all files of the project that they include."""
        library = self._library
        found = UnitFacts()
        arguments, found.flags = self._usable_arguments(unit)
        index = library.clang_createIndex(0, 0)
        handle = self._translation_unit(index, unit, arguments)
        try:
            if handle is None:
                for file in unit.files:
                    found.errors[self._paths.name_of(file)] = [["failed", "clang could not parse it at all"]]
                return found
            view = UnitView(library, handle, self._paths)
            roots = self._inclusions(view, unit, found)
            walk = DeclarationWalk(view)
            walk.walk()
            for seen in list(view.files.values()):
                found.includes[seen.name] = self._preprocessed(view, seen)
            self._diagnostics(view, unit, roots, found)
            self._record(view, walk, unit, found)
        finally:
            if handle is not None:
                library.clang_disposeTranslationUnit(handle)
            library.clang_disposeIndex(index)
        return found

    def _translation_unit(self, index: Any, unit: Unit, arguments: Sequence[str], text: bytes | None = None) -> Any:
        """The handle of the parsed unit, or None."""
        ending = ".c" if unit.language == "c" else ".cpp"
        alone = text is None and len(unit.files) == 1
        path = unit.files[0] if alone else os.path.join(os.path.dirname(unit.files[0]), BATCH_NAME + ending)
        text = _batch_text(unit) if text is None else text
        words = ["clang", "-x", unit.language, *arguments]
        argv = (ctypes.c_char_p * len(words))(*[os.fsencode(word) for word in words])
        unsaved = UnsavedFile(os.fsencode(path), text, len(text))
        handle = ctypes.c_void_p()
        self._library.clang_parseTranslationUnit2FullArgv(
            index, os.fsencode(path), argv, len(words), ctypes.byref(unsaved), 0 if alone else 1, _OPTIONS,
            ctypes.byref(handle),
        )  # fmt: skip
        return handle if handle.value else None

    def _usable_arguments(self, unit: Unit) -> tuple[list[str], list[str]]:
        """The arguments without those that clang refuses, and these."""
        key = (unit.language, *unit.arguments)
        if key not in self._usable:
            words, dropped = list(unit.arguments), list[str]()
            while len(dropped) < _MAX_DROPPED_FLAGS and (refused := self._refused(unit, words)):
                dropped.append(refused)
                words = [word for word in words if word != refused]
            self._usable[key] = (words, dropped)
        return self._usable[key]

    def _refused(self, unit: Unit, words: Sequence[str]) -> str:
        """One of `words` that clang refuses for an empty file, or ""."""
        parsed, refused = self._try_arguments(unit, words)
        if parsed:
            return refused
        flags = [word for word in dict.fromkeys(words) if word.startswith("-") and word != "-Xclang"]
        return next((flag for flag in flags if self._try_arguments(unit, [w for w in words if w != flag])[0]), "")

    def _try_arguments(self, unit: Unit, words: Sequence[str]) -> tuple[bool, str]:
        """Whether clang parses anything with `words`, and one of them that it does not know."""
        index = self._library.clang_createIndex(0, 0)
        handle = self._translation_unit(index, unit, words, text=b"\n")
        refused = ""
        if handle is not None:
            for severity, message, _ in self._messages(handle):
                match = _UNKNOWN_FLAG.match(message)
                if severity >= ERROR and match and match.group(1) in words:
                    refused = match.group(1)
            self._library.clang_disposeTranslationUnit(handle)
        self._library.clang_disposeIndex(index)
        return handle is not None, refused

    def _messages(self, handle: Any) -> list[tuple[int, str, Location]]:
        library = self._library
        found = []
        for number in range(library.clang_getNumDiagnostics(handle)):
            diagnostic = library.clang_getDiagnostic(handle, number)
            severity = library.clang_getDiagnosticSeverity(diagnostic)
            if severity >= ERROR:
                text = text_of(library, library.clang_getDiagnosticSpelling(diagnostic))
                found.append((severity, text, library.clang_getDiagnosticLocation(diagnostic)))
            library.clang_disposeDiagnostic(diagnostic)
        return found

    def _inclusions(self, view: UnitView, unit: Unit, found: UnitFacts) -> dict[str, str]:
        """For each file that was read, by path: which of the unit's files led to it. Notes the files of others.

        The project's are entered in the view, those without any declaration too.
        """
        library = self._library
        alone = len(unit.files) == 1
        roots: dict[str, str] = {}
        names: dict[int, str] = {}

        def path_of(location: Location) -> str:
            file = ctypes.c_void_p()
            library.clang_getExpansionLocation(location, ctypes.byref(file), None, None, None)
            if file.value not in names and file.value:
                names[file.value] = text_of(library, library.clang_getFileName(file))
            return names.get(file.value or 0, "")

        def visit(file: int, stack: Any, depth: int, data: Any) -> None:
            path = text_of(library, library.clang_getFileName(file))
            # The stack ends at the batch's own text; before that is the file of the batch.
            above = [path_of(stack[i]) for i in range(depth)]
            chain = [path, *above]
            root = unit.files[0] if alone else (chain[-2] if len(chain) > 1 else "")
            roots.setdefault(path, root)
            if view.file_of(file) is None and BATCH_NAME not in path:
                found.outside.append(path)

        library.clang_getInclusions(view.unit, INCLUSION_VISITOR(visit), None)
        found.outside = sorted(set(found.outside))
        return roots

    def _diagnostics(self, view: UnitView, unit: Unit, roots: Mapping[str, str], found: UnitFacts) -> None:
        """Errors, each with the files of the unit that it is in or that include the header that it is in.

        A header's guard hides it from every file of a batch but the first, which is no merit of the others.
        """
        mates = {self._paths.name_of(file): set[str]() for file in unit.files}
        errors: dict[str, dict[tuple[str, str], None]] = {}
        for _, message, location in self._messages(view.unit):
            path = view.file_name(location)
            if not path and _UNKNOWN_FLAG.match(message):
                continue
            place = self._paths.name_of(path)
            root = path if path in unit.files else roots.get(path, "")
            led = [self._paths.name_of(root)] if root in unit.files else list(mates)
            if place not in mates:
                for name in mates:
                    mates[name] = mates[name] or reached(name, found.includes)
                led += [name for name in mates if place in mates[name]]
            missing = _MISSING.match(message)
            error = ("missing", f"header not found: {missing.group(1)}") if missing else ("error", message)
            for name in led:
                errors.setdefault(name, {})[error] = None
        found.errors = {name: [list(error) for error in several] for name, several in errors.items()}

    def _record(self, view: UnitView, walk: DeclarationWalk, unit: Unit, found: UnitFacts) -> None:
        for file in view.files.values():
            facts = {
                "file": file.name,
                "sha256": hashlib.sha256(file.data).hexdigest(),
                "definitions": [file.definitions[key] for key in sorted(file.definitions)],
                "preamble": sorted(file.preamble),
            }
            found.facts[file.name] = self._send(facts, found)
        mates = {self._paths.name_of(file) for file in unit.files}
        if len(mates) > 1:
            for file in view.files.values():
                borrowed = (file.borrowed & mates) - reached(file.name, found.includes)
                if file.name in mates and borrowed:
                    text = f"uses what only {min(borrowed)} declares"
                    found.errors.setdefault(file.name, []).append(["borrowed", text])
        for name, pattern, file, references in instantiations(walk.references, walk.instances):
            blob: dict[str, Any] = {"instance": name, "pattern": pattern, "file": file.name, "calls": references.calls}
            blob["instances"] = sorted(references.instances)
            blob["sha256"] = hashlib.sha256(file.data).hexdigest()
            found.instances.append(self._send(blob, found))
        found.instances.sort()
        found.names = dict(sorted(walk.references.names.items()))

    def _send(self, blob: dict[str, Any], found: UnitFacts) -> str:
        """The digest of a blob, which goes along if this worker has not sent it yet."""
        text = json.dumps(blob, sort_keys=True)
        digest = hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
        if digest not in self._sent:
            self._sent.add(digest)
            found.blobs[digest] = blob
        return digest

    def _preprocessed(self, view: UnitView, file: SeenFile) -> list[str]:
        """Adds includes and defines that are not skipped to the preamble; the project's files that it includes."""
        library = self._library
        skipped = self._skipped(view, file)
        targets: dict[int, str] = {}

        def visit(context: Any, cursor: Cursor, extent: Range) -> int:
            place, offset = view.place(library.clang_getRangeStart(library.clang_getCursorExtent(cursor)))
            included = library.clang_getIncludedFile(cursor)
            if place is file and included:
                seen = view.file_of(included)
                targets[offset] = seen.name if seen else ""
            return CONTINUE

        library.clang_findIncludesInFile(view.unit, file.handle, file_visitor(visit))
        guard = guard_of(file.data)
        for line in directives_of(file.data):
            if any(start <= line.start < end for start, end in skipped) or line.start == guard:
                continue
            if line.word.startswith("include") or line.word == "import":
                file.preamble.append(["include", line.start, line.end, [], targets.get(line.start, "")])
            elif line.word == "define":
                file.preamble.append(["define", line.start, line.end, []])
        return sorted({name for name in targets.values() if name})

    def _skipped(self, view: UnitView, file: SeenFile) -> list[tuple[int, int]]:
        """Byte offsets that the preprocessor passed over."""
        library = self._library
        ranges = library.clang_getSkippedRanges(view.unit, file.handle)
        found = []
        for number in range(ranges.contents.count):
            extent = ranges.contents.ranges[number]
            _, start = view.place(library.clang_getRangeStart(extent))
            _, end = view.place(library.clang_getRangeEnd(extent))
            found.append((start, end))
        library.clang_disposeSourceRangeList(ranges)
        return found


def reached(name: str, includes: Mapping[str, Sequence[str]]) -> set[str]:
    """`name` and every file of the project that it includes, however indirectly."""
    found = {name}
    waiting = [name]
    while waiting:
        for other in includes.get(waiting.pop(), ()):
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found


def _batch_text(unit: Unit) -> bytes:
    """Includes the unit's files one after the other; macros of one do not reach the next, and each may have a main."""
    lines = []
    for number, file in enumerate(unit.files):
        data = Path(file).read_bytes()
        names = defined_names(data)
        several = _MAIN.search(data) is not None and "main" not in names
        lines += [f'#pragma push_macro("{name}")' for name in names]
        lines += [f"#define main {MAIN}{number}"] * several
        lines.append(f'#include "{file}"')
        lines += ["#undef main"] * several
        lines += [f'#pragma pop_macro("{name}")' for name in names]
    return os.fsencode("\n".join(lines) + "\n")
