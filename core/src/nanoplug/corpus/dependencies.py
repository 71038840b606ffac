"""Which other units a document shows before its root."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence


def choose_dependencies(
    needs: Mapping[str, Sequence[str]],
    roots: Sequence[str],
    *,
    max_depth: int,
    limits: Mapping[str, int] | None,
    may_show: Callable[[str, str], bool],
) -> dict[str, list[str]]:
    """For each root the units that a breadth-first search over `needs` finds within `max_depth` steps, nearest first.

    may_show(root, unit): whether the unit may stand in that root's document; the search does not go on behind one that
    may not. limits: in how many documents each unit is shown at most besides its own, or None. They are spent on the
    nearest: all roots choose what is one step away before any chooses what is two steps away.
    """
    chosen: dict[str, dict[str, None]] = {root: {} for root in roots}
    edge: dict[str, list[str]] = {root: [root] for root in roots}
    shown: Counter[str] = Counter()
    for _ in range(max_depth):
        for root in list(edge):
            mine, found = chosen[root], []
            for unit in edge[root]:
                for other in needs.get(unit, ()):
                    if other == root or other in mine or not may_show(root, other):
                        continue
                    if limits is not None and shown[other] >= limits[other]:
                        continue
                    mine[other] = None
                    shown[other] += 1
                    found.append(other)
            if found:
                edge[root] = found
            else:
                del edge[root]
    return {root: list(units) for root, units in chosen.items()}
