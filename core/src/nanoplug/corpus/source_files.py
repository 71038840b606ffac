"""Finds the C and C++ files of a source tree that are worth training on, and counts what it leaves out and why."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import field, frozen

from nanoplug.errors import DataError

HEADERS = frozenset({".h", ".hpp", ".hxx", ".hh", ".h++", ".inl", ".inc", ".cuh"})
SOURCES = frozenset({".cpp", ".cc", ".cxx", ".c", ".c++", ".cu"})
SKIPPED_FOLDERS = frozenset(
    {"build", "deps", "external", "third_party", "third-party", "thirdparty", "vendor", "node_modules", "__pycache__"}
)
MAX_BYTES = 500_000
_TOP_BYTES = 2048
_AUTO = rb"auto(?:matically)?[ -]?generated"
_GENERATED = re.compile(
    rb"@generated|torchgen|do not (?:edit|modify)|"
    + _AUTO
    + rb" (?:by|from|file)|(?:file|code) (?:is|was|contains|has been) "
    + _AUTO,
    re.IGNORECASE,
)


@frozen
class SourceFile:
    """One file that was kept. name: its path below the root, with the root's own name in front, always with slashes."""

    path: Path
    name: str
    bytes: int
    sha256: str


@frozen
class Scan:
    """Kept files in order of their names, and how many were left out by cause; folders are counted as one each."""

    files: tuple[SourceFile, ...]
    skipped: Mapping[str, int] = field(factory=dict)


def find_sources(roots: Sequence[Path]) -> Scan:
    """Every C and C++ file below `roots` that is text, written by hand, of a reasonable size, and not yet seen.

    Generated is what says so near its top, or is in a folder of that name.
    Hidden folders and those in `SKIPPED_FOLDERS` or starting with cmake-build are left out below a root; its own path
    does not matter. Links to folders are not followed. Raises DataError if a root is no folder, or nothing is left.
    """
    skipped: Counter[str] = Counter()
    files: list[SourceFile] = []
    seen: set[str] = set()
    for root in roots:
        if not root.is_dir():
            raise DataError(f"{root} is not a folder.", todo="Name a folder that holds C or C++ source code.")
        for path in _walk(root, skipped):
            name = f"{root.resolve().name}/{path.relative_to(root).as_posix()}"
            found = _judge(path, name)
            if isinstance(found, SourceFile) and found.sha256 in seen:
                found = "the same as another file"
            if isinstance(found, str):
                skipped[found] += 1
            else:
                seen.add(found.sha256)
                files.append(found)
    if not files:
        raise DataError(
            f"{', '.join(map(str, roots)) or 'no folder'}: no C or C++ file is left to train on.",
            details=[f"{count} skipped: {cause}" for cause, count in skipped.most_common()]
            or ["there is no file at all"],
            todo=f"Name a folder with source code; files ending in {' '.join(sorted(HEADERS | SOURCES))} are read.",
        )
    return Scan(tuple(files), dict(skipped.most_common()))


def read_source(file: SourceFile) -> str:
    """Its text. Raises DataError if it is no longer what was found."""
    try:
        data = file.path.read_bytes()
    except OSError as error:
        raise DataError(f"{file.path} could be read before, but not now: {error}.", todo="Run again.") from error
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise DataError(f"{file.path} was changed while the data was built.", todo="Run again.")
    return data.decode("utf-8")


def _walk(root: Path, skipped: Counter[str]) -> Iterator[Path]:
    """C and C++ files below `root`, in order of their path's parts."""

    def fail(error: OSError) -> None:
        skipped["folder that cannot be read"] += 1

    for folder, folders, names in os.walk(root, onerror=fail):
        kept = sorted(name for name in folders if not _is_skipped(name))
        skipped["hidden, build or third-party folder"] += len(folders) - len(kept)
        folders[:] = kept
        for name in sorted(names):
            if os.path.splitext(name)[1].lower() in HEADERS | SOURCES:
                yield Path(folder, name)
            else:
                skipped["not C or C++ by its name"] += 1
    for cause in [cause for cause, count in skipped.items() if not count]:
        del skipped[cause]


def _is_skipped(folder: str) -> bool:
    return folder.startswith((".", "cmake-build")) or folder.lower() in SKIPPED_FOLDERS


def _judge(path: Path, name: str) -> SourceFile | str:
    """The file, or why it is left out."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            return f"larger than {MAX_BYTES:,} bytes"
        data = path.read_bytes()
    except OSError:
        return "cannot be read"
    if not data.strip():
        return "empty"
    if b"\0" in data:
        return "binary"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return "not UTF-8"
    if "/generated/" in name or _GENERATED.search(data[:_TOP_BYTES]):
        return "generated"
    return SourceFile(path, name, len(data), hashlib.sha256(data).hexdigest())
