"""One row for each backend: whether it can be used here, and if not, why. Loads nothing into this process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs
from attrs import frozen

from nanoplug.registry.catalogue import Catalogue, Entry, Plugin
from nanoplug.registry.judge import judge_needs
from nanoplug.registry.machine import Machine
from nanoplug.registry.probe import probe
from nanoplug.registry.target import fault
from nanoplug.registry.verdicts import Subject, Verdicts

READY, UNAVAILABLE, BROKEN, QUARANTINED = "ready", "unavailable", "broken", "quarantined"


@frozen(kw_only=True)
class Row:
    """status: ready, unavailable (this machine does not meet its needs), broken (its installation is wrong) or
    quarantined (loading it ended or stopped a process). A plugin that gave no backend has the kind `""`.

    Not part of `to_dict`: causes, the whole of each cause, for `plugins show`; is_wrong, whether somebody should
    mend it, rather than that it does not fit this machine.
    """

    kind: str
    name: str
    id: str
    distribution: str
    version: str
    api: str
    status: str
    reasons: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()
    is_wrong: bool = False

    def to_dict(self) -> dict[str, Any]:
        plain = attrs.asdict(self, filter=lambda attribute, _: attribute.name not in ("causes", "is_wrong"))
        return {**plain, "reasons": list(self.reasons)}


def rows(
    catalogue: Catalogue,
    machine: Machine,
    verdicts: Verdicts,
    *,
    kind: str | None = None,
    may_probe: bool = True,
    limit_s: float | None = None,
) -> list[Row]:
    """A row for each backend of `kind` (None: all, with the plugins that gave none).

    Backends that are otherwise ready and have no verdict are loaded in a child process once, if `may_probe`.
    """
    entries = list(catalogue.entries(kind))
    if may_probe:
        unknown = [entry for entry in entries if _open_question(entry, machine, verdicts, limit_s)]
        probe(unknown, machine, verdicts, limit_s=limit_s)
    found = [row_of(entry, machine, verdicts, limit_s=limit_s) for entry in entries]
    if kind is None:
        found += [_plugin_row(plugin) for plugin in catalogue.plugins if not plugin.entries]
    return found


def row_of(entry: Entry, machine: Machine, verdicts: Verdicts, *, limit_s: float | None = None) -> Row:
    """The row of one backend, from its problems, its needs and the remembered verdict."""
    notes = tuple(problem.text for problem in entry.problems)
    causes = tuple(problem.cause for problem in entry.problems if problem.cause)

    def row(status: str, reasons: Iterable[str] = (), more_causes: Iterable[str] = ()) -> Row:
        return Row(
            kind=entry.kind,
            name=str(entry.name),
            id=entry.id,
            distribution=entry.distribution,
            version=entry.version,
            api=str(entry.spec.api),
            status=status,
            reasons=(*notes, *reasons),
            causes=(*causes, *filter(None, more_causes)),
            is_wrong=bool(notes) or status in (BROKEN, QUARANTINED),
        )

    if entry.faults(by_id=True):
        return row(BROKEN)
    verdict = verdicts.find(Subject.of(entry, machine), limit_s or entry.spec.load_limit_s)
    if verdict is None and (lie := fault(entry.spec.load)):
        return row(BROKEN, [lie])
    unmet = judge_needs(entry.spec, machine)
    if verdict is not None and not verdict.ok and not unmet:
        return row(QUARANTINED if verdict.quarantines else BROKEN, [verdict.text], [verdict.cause])
    if entry.faults():
        return row(BROKEN)
    return row(UNAVAILABLE, map(str, unmet)) if unmet else row(READY)


def _open_question(entry: Entry, machine: Machine, verdicts: Verdicts, limit_s: float | None) -> bool:
    """Whether only a first load can tell if `entry` is ready."""
    if entry.faults(by_id=True) or judge_needs(entry.spec, machine):
        return False
    return verdicts.find(Subject.of(entry, machine), limit_s or entry.spec.load_limit_s) is None


def _plugin_row(plugin: Plugin) -> Row:
    return Row(
        kind="",
        name=plugin.name,
        id=plugin.id,
        distribution=plugin.distribution,
        version=plugin.version,
        api="",
        status=BROKEN if any(problem.fatal for problem in plugin.problems) else READY,
        reasons=tuple(problem.text for problem in plugin.problems),
        causes=tuple(problem.cause for problem in plugin.problems if problem.cause),
        is_wrong=bool(plugin.problems),
    )
