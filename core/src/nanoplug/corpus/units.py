"""The pieces of source text that documents are made of.

A unit is the text of a definition that lies in no other: a free function, a member defined outside of its class, or a
whole class with the members in it. An inline member alone would not read as C++, so its class is shown instead, once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from attrs import frozen

from nanoplug.corpus.project_index import FUNCTION_KINDS, Definition, ProjectIndex


@frozen(kw_only=True)
class Unit:
    """key: USR of the outermost definition. definitions: that one, then those inside it.

    start, end: byte offsets in the file, with the comment before it. scope: namespaces around it, outermost first.
    needs: keys of the units that it calls or names, and of the class that it is a member of; never its own. All are
    the project's own: `std::sort` and `printf` are none of its definitions, while `freeNode` or an `assert` of its own
    are, so no list of system names is needed.
    """

    key: str
    file: str
    start: int
    end: int
    scope: tuple[str, ...]
    definitions: tuple[Definition, ...]
    needs: tuple[str, ...]

    @property
    def has_function(self) -> bool:
        return any(definition.kind in FUNCTION_KINDS for definition in self.definitions)


def units_of(index: ProjectIndex) -> dict[str, Unit]:
    """Every unit of the project by key, in order of file and place."""
    groups = [
        group
        for _, of_file in groupby(index.definitions, key=lambda definition: definition.file)
        for group in _outermost(of_file)
    ]
    unit_of = {definition.usr: group[0].usr for group in groups for definition in group}
    return {
        group[0].usr: Unit(
            key=group[0].usr,
            file=group[0].file,
            start=group[0].comment_start,
            end=group[0].end,
            scope=group[0].scope,
            definitions=tuple(group),
            needs=_needs(group, unit_of),
        )
        for group in groups
    }


def _outermost(definitions: Iterable[Definition]) -> list[list[Definition]]:
    """Definitions of one file, those inside another put behind it."""
    groups: list[list[Definition]] = []
    for definition in sorted(definitions, key=lambda each: (each.start, -each.end, each.usr)):
        if groups and definition.end <= groups[-1][0].end:
            groups[-1].append(definition)
        else:
            groups.append([definition])
    return groups


def _needs(group: Sequence[Definition], unit_of: Mapping[str, str]) -> tuple[str, ...]:
    named = (usr for each in group for usr in (each.container, *each.types, *each.calls))
    keys = dict.fromkeys(unit_of[usr] for usr in named if usr in unit_of)
    keys.pop(group[0].usr, None)
    return tuple(keys)
