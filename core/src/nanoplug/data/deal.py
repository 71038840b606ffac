"""Which documents of an epoch are whose, also after a run went on with another number of ranks.

Rank r of W reads every W-th row group. When W changes in the middle of an epoch, what no rank has read of it is dealt
anew among the new ranks, row group by row group; the epochs behind it are dealt as always. Where each rank stood at
each change is all that has to be known for that.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import attrs
from attrs import field, frozen

from nanoplug.data.source import Source
from nanoplug.errors import ContractError, DataError


@frozen(order=True)
class Position:
    """The next document to come, or any place between the one before and it. group counts over all shards."""

    epoch: int = 0
    group: int = 0
    row: int = 0
    piece: int = 0


@frozen
class Change:
    """`world_size` ranks stood at `positions` when `groups` row groups were known, and then others went on."""

    world_size: int
    positions: tuple[Position, ...]
    groups: int

    def to_json(self) -> dict[str, Any]:
        return attrs.asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Change:
        positions = tuple(Position(**position) for position in content["positions"])
        return cls(content["world_size"], positions, content["groups"])


@frozen(eq=False)
class Deal:
    """What one rank reads. changes: every earlier number of ranks that still matters, oldest first."""

    source: Source
    rank: int
    world_size: int
    changes: tuple[Change, ...] = ()
    _known: dict[tuple[int, int], list[list[Position]]] = field(factory=dict, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.rank < self.world_size:
            raise ContractError(f"rank {self.rank} of {self.world_size} does not exist.")

    def start(self) -> Position:
        """Where this rank begins."""
        return Position(min(place.epoch for place in self.changes[-1].positions)) if self.changes else Position()

    def next(self, at: Position) -> Position | None:
        """The first place from `at` on, in its epoch, where this rank has something to read; None if none is known.

        The row may be the last one's successor: then the group is read.
        """
        level = len(self.changes)
        group = at.group
        if self._is_redealt(level, at.epoch):
            mine = self._redealt(level, at.epoch)[self.rank]
            found = bisect_left(mine, Position(at.epoch, at.group))
            if found < len(mine):
                return max(at, mine[found])
            group = max(group, self.changes[-1].groups)
        owned = self.source.next_owned(group, self.rank, self.world_size)
        return None if owned is None else max(at, Position(at.epoch, owned))

    def has_standard(self, epoch: int) -> bool:
        """Whether this epoch is dealt as always, whole."""
        return not self._is_redealt(len(self.changes), epoch)

    def _is_redealt(self, level: int, epoch: int) -> bool:
        """Whether some rank before change `level` stood in this epoch or beyond."""
        return any(epoch <= place.epoch for change in self.changes[:level] for place in change.positions)

    def _redealt(self, level: int, epoch: int) -> list[list[Position]]:
        """For each rank after change `level` - 1 its share of what the ranks before it left of the groups known."""
        if (level, epoch) not in self._known:
            ranks = self.changes[level].world_size if level < len(self.changes) else self.world_size
            left = self._left(level - 1, epoch)
            self._known[level, epoch] = [left[rank::ranks] for rank in range(ranks)]
        return self._known[level, epoch]

    def _left(self, level: int, epoch: int) -> list[Position]:
        """What the ranks of change `level` had not read of `epoch` when it came, in order."""
        change = self.changes[level]
        left = []
        for rank, stood in enumerate(change.positions):
            for start in self._whole(level, epoch, rank):
                if stood <= start:
                    left.append(start)
                elif (stood.epoch, stood.group) == (start.epoch, start.group):
                    left.append(stood)
        return sorted(place for place in left if place.row < self.source.documents_in(place.group))

    def _whole(self, level: int, epoch: int, rank: int) -> list[Position]:
        """All that was dealt to `rank` of change `level` in `epoch`, of the groups known when it came."""
        change = self.changes[level]
        whole: list[Position] = []
        group: int | None = 0
        if self._is_redealt(level, epoch):
            whole = list(self._redealt(level, epoch)[rank])
            group = self.changes[level - 1].groups
        while group is not None and (group := self.source.next_owned(group, rank, change.world_size)) is not None:
            if group >= change.groups:
                break
            whole.append(Position(epoch, group))
            group += 1
        return whole


def deal_anew(changes: Sequence[Change], positions: Sequence[Position], groups: int) -> tuple[Change, ...]:
    """The changes that matter once ranks that stood at `positions` are followed by others."""
    latest = max((place.epoch for change in changes for place in change.positions), default=-1)
    kept = tuple(changes) if min(place.epoch for place in positions) <= latest else ()
    return (*kept, Change(len(positions), tuple(positions), groups))


def require_share(source: Source, rank: int, world_size: int) -> None:
    """Raises DataError if an ended source has nothing for this rank."""
    group = source.next_owned(0, rank, world_size)
    while group is not None:
        if source.documents_in(group):
            return
        group = source.next_owned(group + 1, rank, world_size)
    raise DataError(
        f"rank {rank} of {world_size} has nothing to read: the training shards have {source.groups} row group(s).",
        todo="Train on fewer ranks, or build the data from more documents.",
    )
