"""Definitions and call edges of a project with a compile database, as clang's AST dumps of its translation units say.

Counted are functions whose body stands in a source or header of the project, and calls whose callee is such a function:
calls, method calls, operators and constructions, those of template instantiations mapped back to the template's text.

Not counted, whether the indexer has them or not: bodies that a macro's own text holds, functions of local classes,
`= default`, and calls that no text spells: implied initializers of a constructor, the hidden begin, end and increment
of a range-based for, default arguments and default member initializers where they are used, copies that may be left
out.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shlex
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from attrs import define, field, frozen
from clang_truth import Place, Unit, class_name, read_unit

SKIPPED_FOLDERS = frozenset(
    {"build", "cmake-build", "deps", "external", "third_party", "vendor", "node_modules", "__pycache__"}
    | {".git", ".vscode", ".vs"}
)
ENDINGS = frozenset({".cpp", ".cc", ".cxx", ".c", ".c++", ".cp", ".h", ".hpp", ".hxx", ".hh", ".h++", ".inl", ".inc"})
MAX_BYTES = 500_000
STORED = 2
"""Raise it when what is stored of a unit changes."""


@frozen
class Entry:
    file: str
    directory: str
    arguments: tuple[str, ...]


@define(slots=True)
class TruthFunction:
    name: str
    kind: str
    file: str
    at: int
    made: str
    start: int
    end: int
    body: int
    body_end: int
    neutral: str
    resolved: bool
    dependent: set[str]


@define(slots=True)
class ProjectTruth:
    """Keys are (file below the root, byte offset of the name, the name if a macro made it).

    complete: every unit was read; if not, headers may hold instantiations that were not seen.
    edges: kind of a counted call, or `not: <why>`.
    """

    functions: dict[Place, TruthFunction] = field(factory=dict)
    types: dict[Place, str] = field(factory=dict)
    defaulted: set[Place] = field(factory=set)
    edges: dict[tuple[Place, Place], str] = field(factory=dict)
    files: set[str] = field(factory=set)
    failed: dict[str, str] = field(factory=dict)
    unresolved: set[str] = field(factory=set)
    units: int = 0
    complete: bool = True
    main_files: set[str] = field(factory=set)


def entries(root: Path, database: Path) -> list[Entry]:
    """Of files below the root; entries that differ in their output alone are one."""
    found: dict[Entry, None] = {}
    for row in json.loads(database.read_text()):
        words = list(row.get("arguments") or shlex.split(row["command"]))[1:]
        file = os.path.normpath(os.path.join(row["directory"], row["file"]))
        if is_project(file, root):
            found[Entry(file, row["directory"], tuple(_without_outputs(words)))] = None
    return list(found)


def sampled(entries: Sequence[Any], count: int, seed: int) -> list[Any]:
    """A random choice in the given order, the same for a seed; all if there are no more than `count`."""
    if len(entries) <= count:
        return list(entries)
    return [entries[number] for number in sorted(random.Random(seed).sample(range(len(entries)), count))]


def _without_outputs(words: list[str]) -> Iterator[str]:
    taken = iter(words)
    for word in taken:
        if word in ("-o", "-MF", "-MT", "-MQ"):
            next(taken, None)
        elif word not in ("-c", "-S", "-MD", "-MMD"):
            yield word


def project_truth(
    root: Path, database: Path, *, clang: str, workers: int, cache: Path | None, sample: int = 0
) -> ProjectTruth:
    """sample: read only so many units, chosen at random; 0 is all. A unit that clang cannot read is in `failed`."""
    everything = entries(root, database)
    todo = sampled(everything, sample, seed=1) if sample else everything
    state = _state(root, clang)
    truth = ProjectTruth(complete=len(todo) == len(everything))
    truth.main_files = {os.path.relpath(entry.file, root) for entry in todo}
    mangled: dict[str, Place] = {}
    open_edges: list[tuple[Place, str, str]] = []
    with ProcessPoolExecutor(workers) as pool:
        jobs = [(entry, root, clang, state, cache) for entry in todo]
        for number, found in enumerate(pool.map(_unit_of, jobs), 1):
            _progress(number, len(todo))
            _join(truth, found, mangled, open_edges)
    for caller, name, kind in open_edges:
        if name in mangled:
            _add_edge(truth, caller, mangled[name], kind)
    return truth


def _progress(number: int, whole: int) -> None:
    if sys.stderr.isatty() or number == whole:
        print(f"\r{number}/{whole} translation units", end="\n" if number == whole else "", file=sys.stderr)


def _join(
    truth: ProjectTruth, found: dict[str, Any], mangled: dict[str, Place], open_edges: list[tuple[Place, str, str]]
) -> None:
    truth.units += 1
    if found["failed"]:
        truth.failed[found["file"]] = found["failed"]
    truth.files |= set(found["files"])
    truth.unresolved |= set(found["unresolved"])
    truth.types |= {(file, at, made): name for file, at, made, name in found["types"]}
    truth.defaulted |= {tuple(place) for place in found["defaulted"]}
    for row in found["functions"]:
        one = TruthFunction(**{**row, "dependent": set(row["dependent"])})
        known = truth.functions.setdefault((one.file, one.at, one.made), one)
        known.resolved |= one.resolved
        known.dependent |= one.dependent
    mangled.update({name: tuple(place) for name, *place in found["mangled"]})
    for caller, callee, kind in found["edges"]:
        if isinstance(callee, str):
            open_edges.append((tuple(caller), callee, kind))
        else:
            _add_edge(truth, tuple(caller), tuple(callee), kind)


def _add_edge(truth: ProjectTruth, caller: Place, callee: Place, kind: str) -> None:
    known = truth.edges.get((caller, callee), "not")
    if known.startswith("not"):
        truth.edges[caller, callee] = kind


def is_project(file: str, root: Path) -> bool:
    """The documented rule for sources: below the root, of a known ending, in no skipped folder, not too large."""
    if not file.startswith(f"{root}/") or os.path.splitext(file)[1].lower() not in ENDINGS:
        return False
    parts = file[len(str(root)) + 1 :].split("/")
    return not SKIPPED_FOLDERS & set(parts[:-1]) and os.path.isfile(file) and os.path.getsize(file) <= MAX_BYTES


def _state(root: Path, clang: str) -> str:
    """Changes with the project's files, the compiler and this reader."""
    parts = [clang, str(STORED)]
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                parts.append(f"{path} {os.path.getsize(path)} {os.stat(path).st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _unit_of(job: tuple[Entry, Path, str, str, Path | None]) -> dict[str, Any]:
    entry, root, clang, state, cache = job
    key = hashlib.sha256(json.dumps([entry.file, entry.directory, entry.arguments, state]).encode()).hexdigest()
    stored = cache / f"{key}.json" if cache else None
    if stored and stored.is_file():
        whole: dict[str, Any] = json.loads(stored.read_text())
        return whole

    def canonical(name: str) -> str:
        return os.path.realpath(os.path.join(entry.directory, name))

    def read() -> dict[str, Any]:
        unit, errors = read_unit(
            clang,
            list(entry.arguments),
            Path(entry.directory),
            lambda name: is_project(canonical(name), root),
        )
        return _resolved(unit, entry.file, errors, lambda name: os.path.relpath(canonical(name), root))

    found = _with_deep_stack(read)
    if cache and stored:
        cache.mkdir(parents=True, exist_ok=True)
        stored.write_text(json.dumps(found))
    return found


def _with_deep_stack(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Expressions nest deeper than Python's usual stack."""
    sys.setrecursionlimit(50_000)
    threading.stack_size(1 << 29)
    answer: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: answer.append(work()))
    thread.start()
    thread.join()
    return answer[0]


class Resolver:
    """From a declaration's id to the place of its definition, in one translation unit."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.by_root: dict[str, Place] = {}
        self.by_mangled: dict[str, Place] = {}
        self.at_place: dict[Place, list[str]] = {}
        for number, decl in unit.decls.items():
            self.at_place.setdefault(decl.at, []).append(number)
            if decl.function is not None:
                self.by_root[self.root(number)] = decl.function
                if decl.mangled:
                    self.by_mangled[decl.mangled] = decl.function

    def root(self, number: str) -> str:
        while (previous := self.unit.decls[number].previous) and previous in self.unit.decls:
            number = previous
        return number

    def resolve(self, number: str) -> Place | str:
        """The definition's place, or the mangled name to look for in other units, or "" if neither is known."""
        decl = self.unit.decls.get(number)
        if decl is None or decl.generated:
            return ""
        if decl.at in self.unit.functions:
            return decl.at
        for same in (number, *self.at_place[decl.at]):
            if self.root(same) in self.by_root:
                return self.by_root[self.root(same)]
            if self.unit.decls[same].mangled in self.by_mangled:
                return self.by_mangled[self.unit.decls[same].mangled]
        return decl.mangled


def _constructors(unit: Unit, name: str) -> dict[str, list[str]] | None:
    """Of the class; the dump writes the classes of arrays as the source does, without what they are nested in."""
    if name in unit.constructors:
        return unit.constructors[name]
    ended = [known for full, known in unit.constructors.items() if full.endswith(f"::{name}")]
    return ended[0] if ended and all(known == ended[0] for known in ended) else None


def _resolved(unit: Unit, file: str, errors: str, relative: Callable[[str], str]) -> dict[str, Any]:
    resolver = Resolver(unit)
    edges: set[tuple[Place, Place | str, str]] = set()
    unresolved: set[str] = set()
    for caller, number, kind, neutral in unit.edges:
        edges.add((caller, resolver.resolve(number), f"not: {neutral}" if neutral else kind))
    for caller, written, signature, neutral in unit.constructions:
        known = _constructors(unit, class_name(written))
        if known is None:
            continue
        callees = {resolver.resolve(number) for number in known.get(signature, [])}
        if not callees:
            unresolved.add(f"{written} {signature}")
        kind = "not: several constructors fit" if len(callees - {""}) > 1 else "construction"
        edges |= {(caller, callee, f"not: {neutral}" if neutral else kind) for callee in callees}

    def place(where: Place) -> Place:
        return relative(where[0]), where[1], where[2]

    functions = [
        {
            "name": one.name,
            "kind": one.kind,
            "file": relative(one.at[0]),
            "at": one.at[1],
            "made": one.at[2],
            "start": one.start,
            "end": one.end,
            "body": one.body,
            "body_end": one.body_end,
            "neutral": one.neutral,
            "resolved": one.resolved,
            "dependent": sorted(one.dependent),
        }
        for one in unit.functions.values()
    ]
    return {
        "file": file,
        "failed": "\n".join(errors.splitlines()[:5]) if "error:" in errors or "Stack dump" in errors else "",
        "files": sorted({relative(name) for name in unit.files}),
        "functions": functions,
        "types": [(*place(at), name) for at, name in unit.types.items()],
        "defaulted": [place(at) for at in sorted(unit.defaulted)],
        "mangled": [(name, *place(at)) for name, at in resolver.by_mangled.items()],
        "edges": [
            (place(caller), callee if isinstance(callee, str) else place(callee), kind)
            for caller, callee, kind in sorted(edges, key=str)
            if callee and caller in unit.functions
        ],
        "unresolved": sorted(unresolved),
    }
