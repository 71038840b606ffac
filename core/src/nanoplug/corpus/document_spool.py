"""Documents of a run on their way to disk: their texts wait in a file, so that a run may be larger than memory."""

from __future__ import annotations

import hashlib
import pickle
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from attrs import frozen

from nanoplug.data.shards import Document


@frozen(kw_only=True)
class Place:
    """Where a document is in the spool. key: decides its place in the shards, the same whenever it is made."""

    key: bytes
    offset: int
    text_bytes: int
    project: str
    held_out: bool


class DocumentSpool:
    """A nameless file in `folder` that is gone when this is closed."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self.places: list[Place] = []

    def add(self, document: Document, *, held_out: bool) -> None:
        key = hashlib.sha256(f"{document.project}\0{document.path}\0{document.usr}".encode()).digest()
        self.places.append(
            Place(
                key=key,
                offset=self._file.tell(),
                text_bytes=len(document.text.encode()),
                project=document.project,
                held_out=held_out,
            )
        )
        pickle.dump((document.path, document.text, document.project, document.usr), self._file)

    def read(self, places: Iterable[Place]) -> Iterator[Document]:
        for place in places:
            self._file.seek(place.offset)
            yield Document(*pickle.load(self._file))

    def close(self) -> None:
        self._file.close()
