"""Facts about files as they were parsed, kept between runs by the content of everything that they depend on."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import asdict, define, field

from nanoplug.corpus.parse_unit import UnitFacts
from nanoplug.whole_files import write_bytes

FORMAT = 1
_ENDING = ".json.z"


@define
class Entry:
    """What parsing one file with one set of arguments gave.

    key: digest of its content and arguments. facts: digest of each project file's facts that it led to, by name.
    contents: SHA-256 of these files. errors: [kind, text] each. flags: unknown to clang. instances: digests.
    batch: name of what it shares with the other files of its unit.
    """

    key: str
    file: str
    facts: dict[str, str] = field(factory=dict)
    contents: dict[str, str] = field(factory=dict)
    errors: list[list[str]] = field(factory=list)
    flags: list[str] = field(factory=list)
    batch: str = ""


@define
class Batch:
    """What the entries of one unit share. outside: files of others with size and time. instances: digests.

    names: of functions that are called in it and defined elsewhere, by short key.
    """

    outside: dict[str, list[int]] = field(factory=dict)
    instances: list[str] = field(factory=list)
    names: dict[str, str] = field(factory=dict)


class IndexCache:
    """folder: None keeps nothing. One file a batch; a file that is damaged or of another format counts as missing."""

    def __init__(self, folder: Path | None, contents: Mapping[str, str]) -> None:
        self._folder = folder
        self.contents = contents
        self._stamps: dict[str, list[int]] = {}
        self.entries: dict[str, Entry] = {}
        self.batches: dict[str, Batch] = {}
        self.blobs: dict[str, Any] = {}
        self._stored: dict[str, set[str]] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            for path in sorted(folder.glob(f"*{_ENDING}")):
                self._load(path)

    def valid(self, key: str) -> Entry | None:
        """The entry of that key, if every file that it depends on is as it was."""
        entry = self.entries.get(key)
        if entry is None or any(self.contents.get(name) != sha for name, sha in entry.contents.items()):
            return None
        batch = self.batches.get(entry.batch)
        if batch is None or any(self._stamp(path) != stamp for path, stamp in batch.outside.items()):
            return None
        needed = [*entry.facts.values(), *batch.instances]
        return entry if all(digest in self.blobs for digest in needed) else None

    def add(self, made: Sequence[Entry], answer: UnitFacts) -> None:
        """Keep what one unit gave. Blobs that no entry needs are kept too: others may."""
        blobs = answer.blobs
        name = hashlib.blake2b(" ".join(entry.key for entry in made).encode(), digest_size=12).hexdigest()
        batch = Batch({path: self._stamp(path) for path in answer.outside}, answer.instances, answer.names)
        self.batches[name] = batch
        for entry in made:
            entry.batch = name
            self.entries[entry.key] = entry
        self.blobs.update(blobs)
        if self._folder is not None:
            content = {
                "format": FORMAT, "entries": [asdict(entry) for entry in made], "batch": asdict(batch), "blobs": blobs
            }  # fmt: skip
            write_bytes(self._folder / f"{name}{_ENDING}", zlib.compress(json.dumps(content).encode(), 1))
            self._stored[name] = set(blobs)

    def forget_unused(self, used: Iterable[Entry]) -> None:
        """Remove the files of batches of which neither an entry nor a blob is used any more."""
        if self._folder is None:
            return
        live = {entry.batch for entry in used}
        needed = {digest for entry in used for digest in entry.facts.values()}
        needed.update(digest for name in live if name in self.batches for digest in self.batches[name].instances)
        for name, digests in self._stored.items():
            if name not in live and not digests & needed:
                (self._folder / f"{name}{_ENDING}").unlink(missing_ok=True)

    def _load(self, path: Path) -> None:
        try:
            content: Any = json.loads(zlib.decompress(path.read_bytes()))
            if content["format"] != FORMAT:
                raise ValueError("another format")
            entries = [Entry(**entry) for entry in content["entries"]]
            batch = Batch(**content["batch"])
        except (OSError, ValueError, KeyError, TypeError, zlib.error):
            # Whatever is missing is parsed again.
            path.unlink(missing_ok=True)
            return
        self.batches[path.name.partition(".")[0]] = batch
        self.blobs.update(content["blobs"])
        self._stored[path.name.partition(".")[0]] = set(content["blobs"])
        for entry in entries:
            self.entries[entry.key] = entry

    def _stamp(self, path: str) -> list[int]:
        if path not in self._stamps:
            try:
                status = os.stat(path)
                self._stamps[path] = [status.st_size, status.st_mtime_ns]
            except OSError:
                self._stamps[path] = []
        return self._stamps[path]
