"""Where a training loader stands, as JSON values, and what that means to loaders on another number of ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from attrs import frozen

from nanoplug.data.deal import Change, Position, deal_anew
from nanoplug.data.packing import PackingCounts, Ref
from nanoplug.errors import DataError

FORMAT = 2
_AFRESH = "Start afresh (--fresh)."


@frozen(kw_only=True)
class LoaderState:
    """made_from: what the sequence of rows depends on besides shards and ranks. listing: of `Source`.

    buffer: documents that were read and are in no row yet, in order of arrival; all before `position` else are used.
    """

    made_from: Mapping[str, Any]
    listing: Sequence[Sequence[Any]]
    ended: bool
    rank: int
    world_size: int
    changes: tuple[Change, ...]
    position: Position
    buffer: Sequence[Ref]
    counts: PackingCounts

    def to_json(self) -> dict[str, Any]:
        """JSON values, some 15 bytes a buffered document."""
        return {
            "format": FORMAT,
            "made_from": dict(self.made_from),
            "shards": list(self.listing),
            "ended": self.ended,
            "rank": self.rank,
            "world_size": self.world_size,
            "changes": [change.to_json() for change in self.changes],
            "position": attrs.asdict(self.position),
            "buffer": [list(ref) for ref in self.buffer],
            "counts": attrs.asdict(self.counts),
        }

    @classmethod
    def from_json(cls, content: Any) -> LoaderState:
        """Raises DataError if this version did not write it."""
        if not isinstance(content, Mapping) or content.get("format") != FORMAT:
            raise DataError("the loader state was not written by this version of nanoplug.", todo=_AFRESH)
        try:
            return cls(
                made_from=content["made_from"],
                listing=content["shards"],
                ended=content["ended"],
                rank=content["rank"],
                world_size=content["world_size"],
                changes=tuple(Change.from_json(change) for change in content["changes"]),
                position=Position(**content["position"]),
                buffer=[(epoch, group, row, piece) for epoch, group, row, piece in content["buffer"]],
                counts=PackingCounts(**content["counts"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"the loader state is damaged: {error!r}.", todo=_AFRESH) from None


def state_for(states: Sequence[LoaderState], rank: int, world_size: int) -> LoaderState:
    """Where rank `rank` of `world_size` goes on after ranks that stood at `states`.

    With as many ranks it is that rank's own state. Otherwise what has been read and is in no row yet is dealt in turn,
    and `deal` says who reads what has not been read: each document of an epoch is still seen exactly once.
    Raises DataError unless `states` are those of all ranks of one run.
    """
    states = _all_ranks(states)
    if len(states) == world_size:
        return states[rank]
    longest = max((state.listing for state in states), key=len)
    for state in states:
        if list(state.listing) != list(longest[: len(state.listing)]):
            raise DataError(
                "the ranks found new shards in different orders, so what is left cannot be dealt to another number.",
                todo=f"Go on with {len(states)} ranks.",
            )
    groups = sum(entry[2] for entry in longest)
    changes = deal_anew(states[0].changes, [state.position for state in states], groups)
    by_arrival = sorted((place, state.rank, ref) for state in states for place, ref in enumerate(state.buffer))
    mine = [ref for _, _, ref in by_arrival][rank::world_size]
    return LoaderState(
        made_from=states[0].made_from,
        listing=longest,
        ended=any(state.ended for state in states),
        rank=rank,
        world_size=world_size,
        changes=changes,
        position=Position(min(state.position.epoch for state in states)),
        buffer=mine,
        # The sums stay right: one rank counts on.
        counts=_sum([state.counts for state in states]) if rank == 0 else PackingCounts(),
    )


def require_equal(then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raises DataError, naming each value that differs."""
    differing = [name for name in now if then.get(name) != now[name]]
    if differing:
        raise DataError(
            "the loader state does not fit this loader.",
            details=[f"{name}: {then.get(name)} -> {now[name]}" for name in differing],
            todo="Go on with the same tokenizer and settings, or start afresh.",
        )


def _all_ranks(states: Sequence[LoaderState]) -> list[LoaderState]:
    ranked = sorted(states, key=lambda state: state.rank)
    have = [state.rank for state in ranked]
    expected = ranked[0].world_size if ranked else 1
    if have != list(range(expected)) or any(state.world_size != expected for state in ranked):
        raise DataError(
            f"the loader states of ranks {', '.join(map(str, have)) or 'none'} were given; those of all {expected}"
            " ranks of one run are needed.",
            todo="Give every rank's state of the same step.",
        )
    for state in ranked[1:]:
        require_equal(state.made_from, ranked[0].made_from)
        if state.changes != ranked[0].changes:
            raise DataError("the loader states are of different runs.", todo="Give every rank's state of one step.")
    return ranked


def _sum(counts: Sequence[PackingCounts]) -> PackingCounts:
    names = [field.name for field in attrs.fields(PackingCounts)]
    return PackingCounts(**{name: sum(getattr(each, name) for each in counts) for name in names})
