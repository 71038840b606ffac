"""Joins what units said about each file into one index of the project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nanoplug.corpus.project_index import Definition, FileFacts, PreamblePart
from nanoplug.corpus.short_keys import short_key
from nanoplug.corpus.source_tree import TreeFile
from nanoplug.corpus.tree_sitter_files import NAME_ONLY

Record = dict[str, Any]
Place = tuple[str, int, str]
"""File, start and key of a definition."""


class JoinedFacts:
    """Facts of several parsers about the files of one project.

    files: those that exist. A fact about another content of a file is passed over. names: of functions that clang saw
    called and not defined, by short key.
    """

    def __init__(self, files: Mapping[str, TreeFile]) -> None:
        self._files = files
        self.names: dict[str, str] = {}
        self._records: dict[str, dict[tuple[str, int], Record]] = {}
        self._preambles: dict[str, dict[tuple[Any, ...], PreamblePart]] = {}
        self._parsers: dict[str, str] = {}
        self._instances: dict[str, list[Any]] = {}

    def add_file(self, blob: Record, parser: str = "clang") -> None:
        """Facts about one file, as `UnitParser` records them."""
        name = blob["file"]
        if name not in self._files or self._files[name].sha256 != blob["sha256"]:
            return
        self._parsers[name] = parser
        records = self._records.setdefault(name, {})
        for record in blob["definitions"]:
            place = (record["key"], record["start"])
            known = records.get(place)
            records[place] = _merged(known, record) if known else record
        parts = self._preambles.setdefault(name, {})
        for kind, start, end, scope, *include in blob["preamble"]:
            part = PreamblePart(
                kind=kind, start=start, end=end, scope=tuple(scope), include=include[0] if include else ""
            )
            span = (start, end, kind)
            if span not in parts or parts[span].include < part.include:
                parts[span] = part

    def add_instance(self, blob: Record) -> None:
        """What one instantiation of a template calls."""
        name = blob["file"]
        if name in self._files and self._files[name].sha256 == blob["sha256"]:
            self._instances.setdefault(blob["instance"], []).append(blob)

    @property
    def parsed(self) -> set[str]:
        """Names of files that some parser has facts about."""
        return set(self._parsers)

    def files(self) -> dict[str, FileFacts]:
        """By path, in order."""
        return {
            name: FileFacts(
                path=name,
                sha256=file.sha256,
                language=file.language,
                parser=self._parsers.get(name, "none"),
                preamble=tuple(part for _, part in sorted(self._preambles.get(name, {}).items())),
            )
            for name, file in sorted(self._files.items())
        }

    def definitions(self) -> tuple[Definition, ...]:
        """Sorted by place. One key in several places (a `main` of each program) becomes several: `key@file`."""
        aliases = self._merge_twins()
        self._add_instance_calls(aliases)
        places = sorted((name, start, key) for name, records in self._records.items() for key, start in records)
        targets = _Targets(self._records, places, self.names, aliases)
        return tuple(self._definition(place, targets) for place in places)

    def _definition(self, place: Place, targets: _Targets) -> Definition:
        name, start, key = place
        record = self._records[name][key, start]
        usr = targets.usrs[place]
        return Definition(
            usr=usr,
            kind=record["kind"],
            name=record["name"],
            qualified_name=record["qualified"],
            file=name,
            line=record["line"],
            start=start,
            end=record["end"],
            comment_start=record["comment"],
            body=(record["body"][0], record["body"][1]),
            scope=tuple(record["scope"]),
            container=targets.find(name, record["container"]),
            template=record["template"],
            calls=targets.find_all(name, record["calls"]),
            types=tuple(other for other in targets.find_all(name, record["types"]) if other != usr),
            parser=self._parsers[name],
        )

    def _merge_twins(self) -> dict[str, str]:
        """Makes one of records about one text that differ in their key, and says which short key stands for which.

        clang writes a constraint of a template into the USR as the first declaration that a unit saw spells it.
        """
        aliases: dict[str, str] = {}
        for records in self._records.values():
            twins: dict[tuple[Any, ...], list[str]] = {}
            for key, start in records:
                record = records[key, start]
                text = (start, record["end"], record["kind"], record["qualified"])
                twins.setdefault(text, []).append(key)
            for text, keys in twins.items():
                first, *others = sorted(keys)
                for other in others:
                    merged = _merged(records[first, text[0]], records.pop((other, text[0])))
                    records[first, text[0]] = {**merged, "key": first}
                    aliases[short_key(other)] = short_key(first)
        return aliases

    def _add_instance_calls(self, aliases: Mapping[str, str]) -> None:
        """Adds to templates what their instantiations call, of those that something instantiates."""
        places: dict[tuple[str, str], list[Record]] = {}
        waiting: list[str] = []
        for name, records in self._records.items():
            for (key, start), record in list(records.items()):
                records[key, start] = record = {**record, "calls": dict(record["calls"])}
                places.setdefault((name, short_key(key)), []).append(record)
                waiting.extend(record["instances"])
        done = set(waiting)
        known: set[tuple[str, str]] = set()
        while waiting:
            for blob in self._instances.get(waiting.pop(), ()):
                pattern = (blob["file"], aliases.get(blob["pattern"], blob["pattern"]))
                known.add(pattern)
                for record in places.get(pattern, ()):
                    _add_offsets(record["calls"], blob["calls"])
                more = [name for name in blob["instances"] if name not in done]
                done.update(more)
                waiting.extend(more)
        for place, several in places.items():
            for record in several if place not in known else ():
                _add_offsets(record["calls"], record["guesses"])


class _Targets:
    """Finds the definition that a reference leads to. usrs: the unique key of the definition at each place."""

    def __init__(
        self,
        records: Mapping[str, Mapping[tuple[str, int], Record]],
        places: Sequence[Place],
        names: Mapping[str, str],
        aliases: Mapping[str, str],
    ) -> None:
        self.usrs: dict[Place, str] = {}
        self._names = names
        self._aliases = aliases
        self._first: dict[str, str] = {}
        self._own: dict[tuple[str, str], str] = {}
        # What tree-sitter read is found by name, and what it calls too: it knows nothing else.
        self._plain: dict[str, dict[str, list[str]]] = {}
        self._qualified: dict[str, list[str]] = {}
        taken: set[str] = set()
        for place in places:
            name, start, key = place
            usr = next(usr for usr in (key, f"{key}@{name}", f"{key}@{name}:{start}") if usr not in taken)
            taken.add(usr)
            self.usrs[place] = usr
            short = short_key(key)
            self._first.setdefault(short, usr)
            self._own.setdefault((name, short), usr)
            record = records[name][key, start]
            self._plain.setdefault(record["name"], {}).setdefault(name, []).append(usr)
            if key.startswith("ts:"):
                self._qualified.setdefault(record["qualified"], []).append(usr)

    def find(self, file: str, short: str) -> str:
        """The USR that a reference in `file` means: in that file before any other; "" if the project has none."""
        short = self._aliases.get(short, short)
        found = self._own.get((file, short)) or self._first.get(short)
        if found:
            return found
        if short.startswith(NAME_ONLY):
            by_file = self._plain.get(short[1:], {})
            several = by_file.get(file) or [usr for usrs in by_file.values() for usr in usrs]
        else:
            several = self._qualified.get(self._names.get(short, ""), [])
        return several[0] if len(several) == 1 else ""

    def find_all(self, file: str, wanted: Mapping[str, int]) -> tuple[str, ...]:
        """The USRs, in the order of their offsets."""
        ordered = sorted(wanted.items(), key=lambda item: (item[1], item[0]))
        return tuple(dict.fromkeys(usr for short, _ in ordered if (usr := self.find(file, short))))


def _merged(one: Record, other: Record) -> Record:
    """The same definition as two units saw it: what either found."""
    first, second = sorted((one, other), key=lambda record: (-record["end"], record["comment"], record["body"]))
    merged = {**first, **{name: dict(first[name]) for name in ("calls", "types", "guesses")}}
    _add_offsets(merged["calls"], second["calls"])
    _add_offsets(merged["types"], second["types"])
    _add_offsets(merged["guesses"], second["guesses"])
    merged["instances"] = sorted({*first["instances"], *second["instances"]})
    return merged


def _add_offsets(known: dict[str, int], more: Mapping[str, int]) -> None:
    for key, offset in more.items():
        known[key] = min(offset, known.get(key, offset))
