"""The C and C++ files of one project, and what is left out of it and why."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import field, frozen

from nanoplug.corpus.compile_database import language_of
from nanoplug.corpus.project_index import Problem
from nanoplug.corpus.source_files import HEADERS, MAX_BYTES, SKIPPED_FOLDERS, SOURCES

ENDINGS = HEADERS | SOURCES | {".cp"}
# clang parses them only with NVIDIA's toolkit at hand.
_CUDA = frozenset({".cu", ".cuh"})


@frozen(kw_only=True)
class TreeFile:
    """path: real and absolute. name: below the root, with slashes. sha256: of its bytes. source: not a header."""

    path: Path
    name: str
    bytes: int
    sha256: str
    source: bool
    language: str
    cuda: bool = False


@frozen(kw_only=True)
class SourceTree:
    """files by name, in order. counts: what was left out without being a problem."""

    root: Path
    files: Mapping[str, TreeFile]
    problems: tuple[Problem, ...] = ()
    counts: Mapping[str, int] = field(factory=dict)


def read_tree(root: Path, folders: Sequence[str] = ()) -> SourceTree:
    """Every C and C++ file below `root`, or below these `folders` of it, that can be parsed.

    Hidden folders and those in `SKIPPED_FOLDERS` or starting with cmake-build are left out below the root; the
    root's own path does not matter. Links to folders are not followed; of a file and links to it, the file counts.
    """
    problems: list[Problem] = []
    found: dict[Path, str] = {}
    folders_skipped = 0
    links: list[tuple[str, Path]] = []
    top = Path(os.path.realpath(root))
    walks = [_walk(top, top / folder, problems) for folder in folders or [""]]
    for name, path in (entry for walk in walks for entry in walk):
        if not name:
            folders_skipped += 1
        elif path.is_symlink():
            links.append((name, Path(os.path.realpath(path))))
        else:
            found[path] = name
    for name, target in links:
        if not target.is_file():
            problems.append(Problem(cause="broken link", file=name, detail=f"leads to {target}"))
        else:
            found.setdefault(target, name)
    files: dict[str, TreeFile] = {}
    for path, name in found.items():
        judged = _read(path, name)
        if isinstance(judged, Problem):
            problems.append(judged)
        else:
            files[name] = judged
    counts = {"hidden, build or third-party folders": folders_skipped}
    ordered = dict(sorted(files.items()))
    return SourceTree(root=top, files=ordered, problems=tuple(problems), counts=counts)


def _walk(root: Path, start: Path, problems: list[Problem]) -> Iterator[tuple[str, Path]]:
    """(name, path) of each file with the ending of C or C++; ("", path) of each folder that is skipped."""

    def fail(error: OSError) -> None:
        problems.append(Problem(cause="folder cannot be read", file=str(error.filename), detail=str(error.strerror)))

    for folder, folders, names in os.walk(start, onerror=fail):
        skipped = [name for name in folders if is_skipped_folder(name)]
        yield from (("", Path(folder, name)) for name in skipped)
        folders[:] = sorted(set(folders) - set(skipped))
        for name in sorted(names):
            if os.path.splitext(name)[1].lower() in ENDINGS:
                path = Path(folder, name)
                yield path.relative_to(root).as_posix(), path


def is_skipped_folder(name: str) -> bool:
    """Whether a folder of that name holds no source of the project's own."""
    return name.startswith((".", "cmake-build")) or name.lower() in SKIPPED_FOLDERS


def _read(path: Path, name: str) -> TreeFile | Problem:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            return Problem(cause=f"larger than {MAX_BYTES:,} bytes", file=name, detail=f"{size:,} bytes")
        data = path.read_bytes()
    except OSError as error:
        return Problem(cause="file cannot be read", file=name, detail=str(error.strerror))
    if b"\0" in data:
        return Problem(cause="holds NUL bytes", file=name, detail=f"first at byte {data.index(0)}")
    ending = os.path.splitext(name)[1].lower()
    return TreeFile(
        path=path,
        name=name,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        source=ending not in HEADERS,
        language=language_of(name),
        cuda=ending in _CUDA,
    )
