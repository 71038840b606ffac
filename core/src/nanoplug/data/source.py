"""The shards that a run trains on, in the order in which it reads them; more may come while it trains.

Row groups have numbers over all shards. A stream ends when its folder holds a file `_COMPLETE`.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attrs import field, frozen

from nanoplug.contracts import Tokenizer
from nanoplug.data.shards import TextShard, is_for_validation, no_document, shards_in
from nanoplug.data.token_shards import TokenShard
from nanoplug.data.tokenized_folder import OpenShard
from nanoplug.errors import ContractError, DataError

COMPLETE_NAME = "_COMPLETE"
Shard = TextShard | TokenShard
Listing = tuple[list[Any], ...]
"""For each shard its name, digest, number of groups and deal, as JSON values."""

_log = logging.getLogger(__name__)


@frozen
class ShardStream:
    """A folder to which shards are added. poll_s: seconds between looks.

    validation: names not to train on, besides those that start with val.
    """

    folder: Path
    validation: frozenset[str] = field(converter=frozenset)
    poll_s: float = 30.0
    clock: Callable[[], float] = time.monotonic


@frozen(eq=False)
class _Entry:
    """first: the number of its first group. deal: group i of it belongs to rank (deal + i) mod W."""

    shard: Shard
    first: int
    deal: int

    @property
    def groups(self) -> int:
        return len(self.shard.group_documents)


class Source:
    """paths: shards that are there. stream: where more come from; then `paths` may be empty. text_only: refuse tokens.

    Raises DataError if a shard is damaged, two have one name, or there is neither a document nor a stream.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        tokenizer: Tokenizer,
        *,
        stream: ShardStream | None = None,
        text_only: bool = False,
    ) -> None:
        self._open = OpenShard(tokenizer)
        self._text_only = text_only
        self._stream = stream
        self._entries: list[_Entry] = []
        self._firsts: list[int] = []
        self._rows: dict[str, list[Any]] = {}
        self._listing: Listing | None = None
        self.groups = self.documents = 0
        self.ended = stream is None
        self._next_look = float("-inf")
        self._told: set[str] = set()
        self._closed = threading.Event()
        for path in paths:
            self._append(self._open(path))
        if stream is None and not self.documents:
            raise no_document(paths)
        self.look()

    @property
    def listing(self) -> Listing:
        """All shards, in order: what `restore` takes."""
        if self._listing is None:
            self._listing = tuple(self._rows.values())
        return self._listing

    def shard_of(self, group: int) -> tuple[Shard, int]:
        """The shard that holds `group`, and the number of the group within it."""
        entry = self._entry(group)
        return entry.shard, group - entry.first

    def documents_in(self, group: int) -> int:
        shard, index = self.shard_of(group)
        return shard.group_documents[index]

    def next_owned(self, group: int, rank: int, world_size: int) -> int | None:
        """The first group from `group` on that is dealt to `rank`, or None if none is known."""
        while group < self.groups:
            entry = self._entry(group)
            found = group + (rank - entry.deal - (group - entry.first)) % world_size
            if found < entry.first + entry.groups:
                return found
            group = entry.first + entry.groups
        return None

    def look(self) -> bool:
        """Take in what the stream has new, if it is time to look again. Whether anything changed."""
        stream = self._stream
        if self.ended or stream is None or stream.clock() < self._next_look:
            return False
        # Before the listing: what is there once this file is, is all.
        complete = (stream.folder / COMPLETE_NAME).exists()
        before = self.groups
        for path in shards_in(stream.folder):
            if path.name in self._rows or path.name in stream.validation or is_for_validation(path):
                continue
            try:
                shard = self._open(path)
            except DataError as error:
                if complete:
                    raise
                self._tell(f"{path.name} is not whole yet and is waited for: {error.message}")
                break
            self._append(shard)
        else:
            self.ended = complete
        if self.ended and not self.documents:
            raise no_document([stream.folder])
        self._next_look = stream.clock() + stream.poll_s
        return self.ended or self.groups > before

    def wait(self) -> None:
        """Until it is time to look again, or `close` was called, which raises ContractError."""
        stream = self._stream
        if stream is None:
            raise ContractError("a source that is no stream has nothing to wait for.")
        self._tell(f"all of {stream.folder} is read; waiting for more shards, or for a file {COMPLETE_NAME} there")
        if self._closed.wait(max(0.0, self._next_look - stream.clock())):
            raise ContractError("the loader was closed while it waited for shards.")

    def close(self) -> None:
        """Wake whoever waits."""
        self._closed.set()

    def restore(self, listing: Sequence[Sequence[Any]], *, ended: bool) -> None:
        """Put the shards into the order of a `listing` from before; a stream may have more, which follow.

        Raises DataError, naming each, if one is missing or has changed, or if there are others and no stream.
        """
        have = {entry.shard.path.name: entry.shard for entry in self._entries}
        if self._stream is not None:
            # One that is being written hides those behind it from a look.
            paths = {str(entry[0]): self._stream.folder / entry[0] for entry in listing if entry[0] not in have}
            have |= {name: self._open(path) for name, path in paths.items() if path.is_file()}
        wrong = []
        for name, digest, *_ in listing:
            if name not in have:
                wrong.append(f"{name} is missing")
            elif have[name].digest != digest:
                wrong.append(f"{name} has changed")
        others = sorted(set(have) - {str(entry[0]) for entry in listing})
        if ended or self._stream is None:
            wrong += [f"{name} is new" for name in others]
        if wrong:
            raise DataError(
                "the training shards are not those that the state was made from.",
                details=wrong,
                todo="Put the shards back as they were, or start afresh.",
            )
        self._entries, self._firsts, self._rows = [], [], {}
        self.groups = self.documents = 0
        for name, _, _, deal in listing:
            self._append(have[name], deal)
        for name in others:
            self._append(have[name])
        self.ended = self.ended or ended

    def _append(self, shard: Shard, deal: int | None = None) -> None:
        name = shard.path.name
        if name in self._rows:
            raise DataError(f"two training shards are named {name}.", todo="Give each a name of its own.")
        if self._text_only and isinstance(shard, TokenShard):
            raise DataError(
                f"{name} holds tokens already; what is made of documents here, such as middles to fill in, needs text.",
                todo="Name the folder of text that it was made from.",
            )
        if deal is None:
            # In a stream ranks may come to know shards at other times, so it is the name that deals a shard.
            by_name = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
            deal = self.groups if self._stream is None else by_name
        entry = _Entry(shard, self.groups, deal)
        self._entries.append(entry)
        self._firsts.append(entry.first)
        self._told.clear()
        self._rows[name] = [name, shard.digest, entry.groups, deal]
        self._listing = None
        self.groups += entry.groups
        self.documents += sum(shard.group_documents)

    def _entry(self, group: int) -> _Entry:
        if not 0 <= group < self.groups:
            raise DataError(f"row group {group} is not in the training shards.")
        # Of shards with the same first number all but the last are empty.
        return self._entries[bisect_right(self._firsts, group) - 1]

    def _tell(self, what: str) -> None:
        """Once, until there is something to read again."""
        if what not in self._told:
            _log.warning("%s", what)
            self._told.add(what)
