"""Parses a C and C++ project and says what it defines, what calls what, and what each file begins with."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from attrs import evolve

from nanoplug.corpus.clang_toolchain import Toolchain, find_toolchain
from nanoplug.corpus.compile_database import CompileCommand, find_database, read_database
from nanoplug.corpus.index_cache import FORMAT, Entry, IndexCache
from nanoplug.corpus.join_facts import JoinedFacts
from nanoplug.corpus.parse_pool import ParsePool
from nanoplug.corpus.parse_rounds import ParseRounds, limit_s
from nanoplug.corpus.project_index import Problem, ProjectIndex
from nanoplug.corpus.source_tree import SourceTree, TreeFile, read_tree
from nanoplug.corpus.tree_sitter_files import parse_with_tree_sitter
from nanoplug.corpus.unit_plan import ROUNDS, UnitPlan
from nanoplug.errors import DataError

_RECORDING = (
    "parse_unit.py",
    "unit_view.py",
    "declaration_walk.py",
    "reference_walk.py",
    "directives.py",
    "text_spans.py",
    "short_keys.py",
)


def index_project(
    root: Path,
    *,
    project: str | None = None,
    compile_database: Path | Literal["auto", "none"] = "auto",
    workers: int = 1,
    cache: Path | None = None,
    libclang: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    include_dirs: Sequence[Path] = (),
    folders: Sequence[str] = (),
    batch_sizes: Sequence[int] = ROUNDS,
) -> ProjectIndex:
    """The index of the C and C++ files below `root`; the same for any number of workers and from the cache.

    project: its name, by default that of the folder. compile_database: a file, `auto` for one in the root or a usual
    build folder, or `none`. workers: processes. cache: a folder that keeps facts between runs, for any number of
    projects. libclang: the library or its folder, by default the installed wheel. on_progress: called with the number
    of files done and of all. include_dirs: more folders for `#include`, after those of the commands. folders: the ones
    below `root` that are indexed, by default all. batch_sizes: files that share a unit at first and when that fails;
    (1,) parses each file by itself.

    Files that clang cannot make sense of (headers missing, a crash) are read by tree-sitter. What went wrong is in
    `problems` of the index. Raises DataError if `root` is no folder, holds no C or C++ file, or the compile database
    cannot be read; ToolMissingError without libclang.
    """
    tree = _tree(root, folders)
    toolchain = find_toolchain(libclang)
    commands, problems = _commands(tree.root, compile_database)
    problems = [*tree.problems, *(evolve(problem, file=_below(tree.root, problem.file)) for problem in problems)]
    plan = UnitPlan(tree, commands, toolchain, include_dirs)
    folder = None if cache is None else cache / hashlib.sha256(os.fsencode(tree.root)).hexdigest()[:16]
    store = IndexCache(folder, {name: file.sha256 for name, file in tree.files.items()})
    names = {str(file.path): name for name, file in tree.files.items()}
    with ParsePool(workers, str(toolchain.library), names, limit_s) as pool:
        progress = _Progress(on_progress)
        rounds = ParseRounds(pool, store, _identity(toolchain), progress.add, plan.with_company, batch_sizes)
        entries, left = _parse(tree, plan, rounds, progress)
    strangers = plan.without_command if commands else frozenset()
    joined = _join(tree, store, entries, left, problems, strangers)
    store.forget_unused(entries)
    definitions = joined.definitions()
    files = joined.files()
    problems += [
        Problem(cause="changed while it was indexed", file=name)
        for name, file in files.items()
        if file.parser == "none"
    ]
    counts = {
        **tree.counts,
        "files": len(files),
        "sources without a compile command": len(strangers),
        **{f"files parsed by {parser}": sum(file.parser == parser for file in files.values())
           for parser in ("clang", "tree-sitter")},
        "definitions": len(definitions),
        "calls": sum(len(definition.calls) for definition in definitions),
    }  # fmt: skip
    return ProjectIndex(
        project=project or tree.root.name,
        files=files,
        definitions=definitions,
        problems=tuple(sorted({*problems, *plan.problems}, key=lambda p: (p.cause, p.file, p.detail))),
        counts=counts,
    )


class _Progress:
    """Counts tasks that are done, of those known so far."""

    def __init__(self, report: Callable[[int, int], None] | None) -> None:
        self._report = report
        self._done = 0
        self.total = 0

    def add(self, count: int) -> None:
        self._done += count
        if self._report is not None:
            self._report(self._done, self.total)


def _tree(root: Path, folders: Sequence[str]) -> SourceTree:
    if missing := [path for path in (root, *(root / folder for folder in folders)) if not path.is_dir()]:
        raise DataError(f"{missing[0]} is not a folder.", todo="Name a folder that holds C or C++ source code.")
    tree = read_tree(root, folders)
    if not tree.files:
        raise DataError(
            f"{root}: no C or C++ file can be indexed.",
            details=[f"{problem.file}: {problem.cause}" for problem in tree.problems[:10]],
            todo="Name a folder with source code.",
        )
    return tree


def _commands(root: Path, chosen: Path | Literal["auto", "none"]) -> tuple[list[CompileCommand], list[Problem]]:
    if chosen == "none":
        return [], []
    path = find_database(root) if chosen == "auto" else Path(chosen)
    return read_database(path) if path is not None else ([], [])


def _below(root: Path, path: str) -> str:
    return os.path.relpath(path, root) if path.startswith(f"{root}{os.sep}") else path


def _identity(toolchain: Toolchain) -> str:
    """What facts depend on besides the files: libclang, and the code that records them."""
    code = [(Path(__file__).parent / name).read_bytes() for name in _RECORDING]
    digest = hashlib.sha256(b"".join(code)).hexdigest()
    return json.dumps([FORMAT, digest, toolchain.version, str(toolchain.library), str(toolchain.resources)])


def _parse(
    tree: SourceTree, plan: UnitPlan, rounds: ParseRounds, progress: _Progress
) -> tuple[list[Entry], list[TreeFile]]:
    """Entries of all sources and of headers that none of them includes, and the files that got none."""
    tasks, left = plan.sources()
    progress.total = len(tasks) + len(left)
    done = rounds.parse(tasks)
    entries = [done[key] for key in dict.fromkeys(rounds.key(task) for task in tasks)]
    seen = {name for entry in entries if not _unusable(entry) for name in entry.facts}
    headers = [name for name, file in tree.files.items() if not file.source and name not in seen]
    tasks, more = plan.headers(headers)
    progress.total += len(tasks)
    done = rounds.parse(tasks, headers=True)
    entries += [done[key] for key in dict.fromkeys(rounds.key(task) for task in tasks)]
    return entries, [*left, *more]


def _unusable(entry: Entry) -> bool:
    """Whether clang's facts about the file are too poor: nothing at all, or a header is missing."""
    return any(kind in ("missing", "failed") for kind, _ in entry.errors)


def _join(
    tree: SourceTree,
    store: IndexCache,
    entries: Sequence[Entry],
    left: list[TreeFile],
    problems: list[Problem],
    strangers: frozenset[str],
) -> JoinedFacts:
    """strangers: sources with borrowed arguments; what they make of a header counts if no other file includes it."""
    joined = JoinedFacts(tree.files)
    told = {name for entry in entries if entry.file not in strangers and not _unusable(entry) for name in entry.facts}
    digests: dict[str, None] = {}
    instances: dict[str, None] = {}
    poor: set[str] = set()
    for entry in entries:
        problems.extend(_problems(entry))
        header = not tree.files[entry.file].source
        if _unusable(entry) or (header and entry.errors):
            poor.add(entry.file)
            continue
        hidden = told if entry.file in strangers else ()
        digests.update((digest, None) for name, digest in entry.facts.items() if name not in hidden)
        if entry.batch in store.batches:
            instances.update(dict.fromkeys(store.batches[entry.batch].instances))
            joined.names.update(store.batches[entry.batch].names)
    for digest in sorted(digests):
        joined.add_file(store.blobs[digest])
    for digest in sorted(instances):
        joined.add_instance(store.blobs[digest])
    fallback = [*left, *(tree.files[name] for name in sorted(poor))]
    for file in fallback:
        if file.name not in joined.parsed:
            joined.add_file(parse_with_tree_sitter(file), parser="tree-sitter")
    return joined


def _problems(entry: Entry) -> list[Problem]:
    found = [Problem(cause=f"flag unknown to clang: {flag}", file="") for flag in entry.flags]
    missing = dict.fromkeys(text for kind, text in entry.errors if kind == "missing")
    found += [Problem(cause=text, file=entry.file) for text in missing]
    errors = [text for kind, text in entry.errors if kind == "error"]
    if errors and not missing:
        detail = f"{len(errors)} errors, the first: {errors[0]}"
        found.append(Problem(cause="does not compile with clang", file=entry.file, detail=detail))
    found += [Problem(cause="clang gave nothing", file=entry.file, detail=t) for k, t in entry.errors if k == "failed"]
    return found
