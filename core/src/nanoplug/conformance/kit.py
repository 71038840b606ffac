"""The laws of a kind, a backend to hold against them, and what came of it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from attrs import field, frozen

from nanoplug.conformance.law import Law, Outcome, Subject, survivors, verify
from nanoplug.errors import PluginError, nearest
from nanoplug.registry import Choice, Machine, Request, discover, resolve
from nanoplug.spec import KINDS, DeviceSpec, Spec


def laws_for(kind: str) -> tuple[Law, ...]:
    """The laws of `kind`, imported now: they need torch, and those of tokenizers do not."""
    if kind not in KINDS:
        raise PluginError(f"there is no kind {kind!r}{nearest(kind, KINDS)}.", todo=f"Kinds: {', '.join(KINDS)}.")
    laws: tuple[Law, ...] = importlib.import_module(f"nanoplug.conformance.{kind}_laws").LAWS
    return laws


def subject_for(
    kind: str, name: str, *, device: str | None = None, options: Mapping[str, Any] | None = None
) -> Subject:
    """The backend `name`, loaded with `options`, on `device` (default: the best one here that it serves).

    Raises PluginError with every reason if it cannot serve on this machine.
    """
    catalogue, machine = discover(), Machine.here()
    request = Request(device=device)
    piece = resolve(
        catalogue, machine, kind=kind, site=kind, choice=Choice(name=name), request=request, options=options or {}
    )
    (entry,) = catalogue.named(kind, piece.id)
    chosen = device or _best_device(entry.spec, machine)
    return Subject(kind=kind, name=entry.name, spec=entry.spec, backend=piece.backend, device=chosen)


def _best_device(spec: Spec, machine: Machine) -> str:
    if isinstance(spec, DeviceSpec):
        return spec.device_type
    if spec.kind == "tokenizer":
        return "cpu"
    served = [device for device in machine.devices if not spec.needs.devices or device in spec.needs.devices]
    return served[0] if served else "cpu"


@frozen(kw_only=True)
class LawReport:
    """One law: its outcomes, and of its wrong implementations how many it rejected and which it let pass."""

    law: Law
    outcomes: tuple[Outcome, ...]
    rejected: int = 0
    survived: tuple[str, ...] = ()

    @property
    def skipped(self) -> bool:
        return any(outcome.skipped for outcome in self.outcomes)

    @property
    def failures(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if not outcome.ok]

    @property
    def ok(self) -> bool:
        return not self.failures and not self.survived

    @property
    def nearest_to_limit(self) -> Outcome | None:
        """The outcome whose error is the largest share of its limit."""
        measured = [outcome for outcome in self.outcomes if outcome.limit and outcome.error is not None]
        return max(measured, key=lambda outcome: (outcome.error or 0.0) / (outcome.limit or 1.0), default=None)


@frozen(kw_only=True)
class Report:
    """What `verify` found. A backend passes if no law is broken and every law proved itself here."""

    subject: Subject
    laws: tuple[LawReport, ...] = field(default=())

    @property
    def outcomes(self) -> list[Outcome]:
        return [outcome for law in self.laws for outcome in law.outcomes]

    @property
    def ok(self) -> bool:
        return all(law.ok for law in self.laws)

    @property
    def proved(self) -> bool:
        """`ok`, and some law had a case for what the backend declares."""
        return self.ok and any(not outcome.skipped for outcome in self.outcomes)


def run_laws(subject: Subject, each: Callable[[LawReport], None] = lambda report: None) -> Report:
    """Every law on the subject and on the law's own wrong implementations; `each` is told law by law."""
    reports = []
    for law in laws_for(subject.kind):
        outcomes = tuple(verify([law], subject))
        report = LawReport(law=law, outcomes=outcomes)
        if not report.skipped:
            survived = tuple(survivors(law, subject))
            report = LawReport(law=law, outcomes=outcomes, rejected=len(law.wrong) - len(survived), survived=survived)
        each(report)
        reports.append(report)
    return Report(subject=subject, laws=tuple(reports))
