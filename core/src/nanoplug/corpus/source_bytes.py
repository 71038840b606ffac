"""Texts cut from a project's files by the byte offsets of its index."""

from __future__ import annotations

import hashlib
from pathlib import Path

from nanoplug.corpus.project_index import ProjectIndex
from nanoplug.errors import DataError


class SourceBytes:
    """The files of one project, read when needed and held."""

    def __init__(self, index: ProjectIndex, root: Path) -> None:
        self._index, self._root = index, root
        self._held: dict[str, bytes] = {}

    def of(self, file: str) -> bytes:
        """The file's bytes. Raises DataError if they are no longer those that were parsed."""
        if file not in self._held:
            path = self._root / file
            try:
                data = path.read_bytes()
            except OSError as error:
                raise DataError(
                    f"{path} could be read when it was parsed, but not now: {error}.", todo="Run again."
                ) from error
            if hashlib.sha256(data).hexdigest() != self._index.files[file].sha256:
                raise DataError(f"{path} was changed after it was parsed.", todo="Run again.")
            self._held[file] = data
        return self._held[file]

    def cut(self, file: str, start: int, end: int) -> str | None:
        """The text between two byte offsets, or None if those bytes are not UTF-8 or hold a NUL."""
        data = self.of(file)[start:end]
        if b"\0" in data:
            return None
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return None
