"""A file of JSON lines, new or grown."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import attrs
from attrs import field, frozen

from nanoplug import whole_files
from nanoplug.corpus.build import REPORT_NAME
from nanoplug.corpus.index_output import FORMAT, PAIRS_NAME, Split, pair_lines
from nanoplug.data.fim_pairs import Pair
from nanoplug.data.shards import Document
from nanoplug.errors import DataError


@frozen
class JsonLines:
    """One `{"text", "path", "project", "usr"}` a line, behind what was there; the pairs and the report stand beside.

    file: of the whole content to be. paths: its name in the end, then those of the pairs and the report.
    """

    file: BinaryIO
    path: Path
    append: bool
    start: int
    splits: bool = False
    _count: list[int] = field(factory=lambda: [0, 0])

    def known(self) -> set[bytes]:
        if not self.append:
            return set()
        return {hashlib.sha256(text.encode()).digest() for text in _texts_of_lines(self.path)}

    def add(self, document: Document, *, held_out: bool) -> None:
        row = {name: getattr(document, name) for name in ("text", "path", "project", "usr")}
        self.file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        self._count[0] += 1
        self._count[1] += len(document.text.encode())

    def restart(self) -> None:
        self.file.truncate(self.start)
        self.file.seek(self.start)
        self._count[:] = [0, 0]

    def finish(self, pairs: Mapping[str, Sequence[Pair]], report: Mapping[str, Any]) -> Split:
        documents, size = self._count
        if not documents and not self.start:
            raise DataError(
                "no document was made.", details=[f"{count} {cause}" for cause, count in report["left_out"].items()]
            )
        lines = pair_lines(pairs, without=())
        new_pairs = len(lines)
        beside = self.path.with_name(f"{self.path.stem}.{PAIRS_NAME}")
        if self.append and beside.is_file():
            before = beside.read_text("utf-8")
            known = set(before.splitlines(keepends=True))
            added = [line for line in lines if line not in known]
            new_pairs, lines = len(added), [before, *added]
        if lines:
            whole_files.write_text(beside, "".join(lines))
        split = Split(train_documents=documents, train_bytes=size, pairs=new_pairs)
        content = {"format": FORMAT, **attrs.asdict(split), "index": dict(report)}
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        whole_files.write_text(self.path.with_name(f"{self.path.stem}.{REPORT_NAME}"), text)
        return split


@contextmanager
def opened_lines(path: Path, *, append: bool) -> Iterator[JsonLines]:
    """Yield an output that becomes the file `path` on success, behind its lines if `append`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    append = append and path.exists()
    temporary = path.with_name(f".{path.name}.{os.getpid()}{whole_files.SUFFIX}")
    try:
        with whole_files.full_disk_explained(path), open(temporary, "w+b") as file:
            if append:
                _copy(path, file)
            yield JsonLines(file, path, append, file.tell())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _copy(path: Path, file: BinaryIO) -> None:
    with open(path, "rb") as before:
        shutil.copyfileobj(before, file)
        if before.tell():
            before.seek(-1, os.SEEK_END)
            if before.read(1) != b"\n":
                file.write(b"\n")


def _texts_of_lines(path: Path) -> Iterator[str]:
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                content: Any = json.loads(line) if line.strip() else {"text": ""}
            except ValueError as error:
                raise DataError(
                    f"{path}: line {number} is no JSON: {error}.", todo="Mend it, or use --force."
                ) from None
            if not isinstance(content, dict) or not isinstance(content.get("text"), str):
                raise DataError(f"{path}: line {number} has no text.", todo="Name another file, or use --force.")
            yield content["text"]
