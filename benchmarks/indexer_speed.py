"""The indexer against parsing one file at a time with the same flags: files per processor second, and the same answer.

    python benchmarks/indexer_speed.py /path/to/duckdb --compile-database /path/to/compile_commands.json --sample 60

Works on a copy of the project in `--scratch`. The naive indexer runs on a random sample of the files; the indexer runs
on all of them from an empty cache, again after a comment changed in one source, and with each number of workers. With
`--only N` the project is cut to N random sources and what they include first, for a quick look. Times are of the
processor, children included, unless they are called wall.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from attrs import frozen
from harness import RESULTS, record, table
from naive_indexer import NaiveIndex, naive_index, resource_folder
from project_truth import ENDINGS, Entry, entries, sampled

from nanoplug.corpus.project_index import FUNCTION_KINDS, ProjectIndex

_INCLUDE = re.compile(rb'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"\n]+)[>"]', re.MULTILINE)
BodyKey = tuple[str, int]
"""File below the root and byte offset of a function's body."""


@frozen
class Timed:
    index: ProjectIndex
    cpu_s: float
    wall_s: float


def copied_project(root: Path, database: Path, scratch: Path, only: int, seed: int) -> tuple[Path, Path]:
    """A copy of the project and of its compile database, which then names the copy."""
    copy = scratch / root.name
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(root, copy, symlinks=True, ignore=shutil.ignore_patterns("compile_commands.json", ".git"))
    rows = json.loads(database.read_text().replace(f"{root}/", f"{copy}/").replace(f'{root}"', f'{copy}"'))
    kept = {entry.file: entry for entry in entries_of(copy, rows, scratch)}
    if only:
        kept = {name: kept[name] for name in sampled(sorted(kept), only, seed)}
        cut(copy, kept.values())
    rows = [row for row in rows if os.path.normpath(os.path.join(row["directory"], row["file"])) in kept]
    target = scratch / f"{root.name}.compile_commands.json"
    target.write_text(json.dumps(rows, indent=1))
    return copy, target


def cut(root: Path, kept: Iterable[Entry]) -> None:
    """Remove every source and header of the project that `kept` do not lead to by their includes."""
    waiting = [(entry.file, entry) for entry in kept]
    reached = {file for file, _ in waiting}
    while waiting:
        file, entry = waiting.pop()
        folders = [os.path.dirname(file), *(word[2:] for word in entry.arguments if word.startswith("-I"))]
        for name in _INCLUDE.findall(Path(file).read_bytes()):
            for folder in folders:
                path = os.path.normpath(os.path.join(folder, name.decode(errors="replace")))
                if path not in reached and path.startswith(f"{root}/") and os.path.isfile(path):
                    reached.add(path)
                    waiting.append((path, entry))
    for found in root.rglob("*"):
        if found.suffix in ENDINGS and str(found) not in reached and found.is_file():
            found.unlink()


def entries_of(root: Path, rows: list[dict[str, Any]], scratch: Path) -> list[Entry]:
    database = scratch / "all.json"
    database.write_text(json.dumps(rows))
    return entries(root, database)


def timed_index(root: Path, database: Path, cache: Path, workers: int) -> Timed:
    """`index_project` in a process of its own, with the processor time of all its children."""
    out = cache.parent / "index.pickle"
    command = [sys.executable, __file__, "--run", str(root), str(database), str(cache), str(workers), str(out)]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True)
    wall_s, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    with out.open("rb") as file:
        return Timed(pickle.load(file), cpu_s, wall_s)


def run_once(root: str, database: str, cache: str, workers: str, out: str) -> None:
    from nanoplug.corpus.index_project import index_project

    index = index_project(
        Path(root), compile_database=Path(database), cache=Path(cache), workers=int(workers), on_progress=None
    )
    with Path(out).open("wb") as file:
        pickle.dump(index, file)


def agreement(naive: NaiveIndex, index: ProjectIndex) -> tuple[dict[str, Any], list[str]]:
    """How far the index has what the naive one has on the sampled files, and what differs.

    The naive one sees a part of the project, so what the index has more is judged in the sampled sources alone.
    """
    place: dict[str, BodyKey] = {
        one.usr: (one.file, one.body[0])
        for one in index.definitions
        if one.kind in FUNCTION_KINDS and one.body[0] != one.end
    }
    calls = {
        (place[one.usr], place[to]) for one in index.definitions if one.usr in place for to in one.calls if to in place
    }
    naive_place = {usr: (one.key[0], one.key[2]) for usr, one in naive.functions.items()}
    naive_calls = {(naive_place[one], naive_place[to]) for one, to in naive.edges}
    defined, naive_defined = set(place.values()), set(naive_place.values())
    in_main = {key for key in defined if key[0] in naive.main_files}
    figures = {
        "naive_definitions": len(naive_defined),
        "definitions_missing": len(naive_defined - defined),
        "definitions_more": len(in_main - naive_defined),
        "naive_edges": len(naive_calls),
        "edges_missing": len(naive_calls - calls),
        "edges_more": len({edge for edge in calls - naive_calls if edge[0] in in_main and edge[1] in naive_defined}),
    }
    lines = [f"definition missing: {key}" for key in sorted(naive_defined - defined)]
    lines += [f"definition more: {key}" for key in sorted(in_main - naive_defined)]
    lines += [f"edge missing: {edge}" for edge in sorted(naive_calls - calls)]
    return figures, lines


def change_comment(file: Path) -> None:
    """A comment before the first line: every byte offset of the file moves, nothing else changes."""
    before = file.read_bytes()
    changed = file.with_name(file.name + ".changed")
    changed.write_bytes(b"// changed\n" + before)
    os.replace(changed, file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--compile-database", type=Path, help="default: compile_commands.json in the root")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the copy and the caches")
    parser.add_argument("--sample", type=int, default=60, help="files for the naive indexer")
    parser.add_argument("--only", type=int, default=0, help="cut the project to so many sources; 0 is all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--resource-dir", type=Path)
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    given.scratch.mkdir(parents=True, exist_ok=True)
    source = given.root.resolve()
    root, database = copied_project(
        source,
        (given.compile_database or source / "compile_commands.json").resolve(),
        given.scratch.resolve(),
        given.only,
        given.seed,
    )
    todo = entries(root, database)
    common = {"measure": "speed", "project": source.name, "files": len(todo), "cores": os.cpu_count()}
    rows = []

    def note(row: dict[str, Any]) -> None:
        rows.append(record("indexer", {**common, **row, "load": os.getloadavg()[0]}, folder=given.results))
        print(json.dumps(row), flush=True)

    first = measure_index(root, database, given.scratch.resolve(), given.workers, len(todo), note)
    sample = sampled(todo, given.sample, given.seed)
    naive = naive_index(sample, root, given.resource_dir or resource_folder())
    naive_s = naive.parse_s + naive.walk_s
    row = {"what": "one file at a time", "sample": naive.units, "failed": len(naive.failed), "cpu_s": naive_s}
    row |= {"parse_s": naive.parse_s, "files_per_cpu_s": naive.units / naive_s}
    note(row)
    mine = len(todo) / first.cpu_s
    row = {"what": "index over one file at a time", "ratio": mine / (naive.units / naive_s)}
    row |= {"ratio_to_parsing_alone": mine / (naive.units / naive.parse_s)}
    figures, lines = agreement(naive, first.index)
    note({**row, **figures})
    print("\n".join(lines[:60]))
    touched(root, database, given.scratch.resolve(), given.workers[0], first, sample[0], note)
    print(table(rows, ("what", "files", "cpu_s", "wall_s", "files_per_cpu_s", "ratio", "workers", "load")))


def measure_index(root: Path, database: Path, scratch: Path, workers: Iterable[int], files: int, note: Any) -> Timed:
    """With each number of workers from an empty cache; the first one's cache stays."""
    first: Timed | None = None
    for number in workers:
        cache = scratch / (f"cache{number}" if first else "cache")
        shutil.rmtree(cache, ignore_errors=True)
        timed = timed_index(root, database, cache, number)
        row = {"what": "index", "workers": number, "cpu_s": timed.cpu_s, "wall_s": timed.wall_s}
        row |= {"files_per_cpu_s": files / timed.cpu_s, "definitions": len(timed.index.definitions)}
        if first:
            row["same_as_first"] = timed.index == first.index
        note({**row, "problems": len(timed.index.problems)})
        first = first or timed
    assert first is not None
    return first


def touched(root: Path, database: Path, scratch: Path, workers: int, first: Timed, entry: Entry, note: Any) -> None:
    """A second run with nothing changed, then with a comment changed in one source."""
    again = timed_index(root, database, scratch / "cache", workers)
    row = {"what": "nothing changed", "workers": workers, "cpu_s": again.cpu_s, "wall_s": again.wall_s}
    note({**row, "ratio": again.cpu_s / first.cpu_s, "same_as_first": again.index == first.index})
    change_comment(Path(entry.file))
    changed = timed_index(root, database, scratch / "cache", workers)
    row = {"what": "one source changed", "workers": workers, "cpu_s": changed.cpu_s, "wall_s": changed.wall_s}
    note({**row, "ratio": changed.cpu_s / first.cpu_s, "wall_ratio": changed.wall_s / first.wall_s})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        run_once(*sys.argv[2:])
    else:
        main()
