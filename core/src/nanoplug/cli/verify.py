"""`nanoplug verify`: one backend against the laws of its kind, on this machine."""

from __future__ import annotations

import json
import math
import sys
from typing import TYPE_CHECKING, Any

import click

from nanoplug.base_folder import base_folder
from nanoplug.benching.shapes import SHAPE_OF_KIND
from nanoplug.spec import KINDS

if TYPE_CHECKING:
    from nanoplug.conformance.kit import LawReport, Report
    from nanoplug.conformance.law import Outcome

SHOWN_FAILURES = 5


@click.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
@click.option("--device", help="Device type to run on, such as cpu or cuda. Default: the best one that it serves.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(kind: str, name: str, device: str | None, as_json: bool) -> None:
    """Prove backend NAME of KIND against the laws of its kind.

    Each law is also run against implementations that are wrong on purpose, and must reject them. Exit status 1 if a
    law is broken, lets a wrong implementation pass, or if there was no case to hold the backend against.
    """
    from nanoplug.conformance.kit import run_laws, subject_for

    subject = subject_for(kind, name, device=device)
    if as_json:
        report = run_laws(subject)
        click.echo(json.dumps(document(report), indent=2, allow_nan=False))
    else:
        click.echo(f"{'law':<24}{'cases':>6}  {'worst error':>11}  {'limit':>9}  {'wrong rejected':>14}  status")
        report = run_laws(subject, _echo)
        click.echo(summary(report))
    if kind in SHAPE_OF_KIND:
        _remember(report, name)
    if not report.proved:
        sys.exit(1)


def _remember(report: Report, name: str) -> None:
    """So that `nanoplug bench` need not prove it again."""
    from nanoplug.benching.proof import Proofs
    from nanoplug.registry import Machine, discover
    from nanoplug.registry.tuning import made_of, place

    machine, subject = Machine.here(), report.subject
    for entry in discover().named(subject.kind, name):
        proofs = Proofs(base_folder() / "bench" / "proofs.json", place(machine, subject.device))
        proofs.record(report, id=entry.id, made_of=made_of(entry, machine))


def document(report: Report) -> dict[str, Any]:
    """The JSON document: counts of cases, a row for each case, and what the laws' own proofs gave."""
    outcomes = report.outcomes
    return {
        "kind": report.subject.kind,
        "name": report.subject.name,
        "device": report.subject.device,
        "passed": sum(outcome.ok and not outcome.skipped for outcome in outcomes),
        "failed": sum(not outcome.ok for outcome in outcomes),
        "skipped": sum(bool(outcome.skipped) for outcome in outcomes),
        "wrong_rejected": sum(law.rejected for law in report.laws),
        "wrong_survived": [f"{law.law.name}: {name}" for law in report.laws for name in law.survived],
        "laws": [_row(outcome) for outcome in outcomes],
    }


def _row(outcome: Outcome) -> dict[str, Any]:
    return {
        "law": outcome.law,
        "case": outcome.case,
        "ok": outcome.ok,
        "error": _finite(outcome.error),
        "limit": _finite(outcome.limit),
        "skipped": outcome.skipped,
        "detail": outcome.detail,
    }


def _finite(number: float | None) -> float | None:
    """JSON has no infinity; `detail` says it."""
    return number if number is not None and math.isfinite(number) else None


def _echo(report: LawReport) -> None:
    if report.skipped:
        click.echo(
            f"{report.law.name:<24}{'-':>6}  {'-':>11}  {'-':>9}  {'-':>14}  skipped: {report.outcomes[0].skipped}"
        )
        return
    worst = report.nearest_to_limit
    error, limit = (f"{worst.error:.2g}", f"{worst.limit:.2g}") if worst else ("-", "-")
    proof = f"{report.rejected} of {len(report.law.wrong)}"
    status = "ok" if report.ok else "BROKEN" if report.failures else "UNPROVEN"
    click.echo(f"{report.law.name:<24}{len(report.outcomes):>6}  {error:>11}  {limit:>9}  {proof:>14}  {status}")
    for outcome in report.failures[:SHOWN_FAILURES]:
        click.echo(f"    {outcome.case}: {outcome.detail}")
    if len(report.failures) > SHOWN_FAILURES:
        click.echo(f"    and {len(report.failures) - SHOWN_FAILURES} more cases")
    for name in report.survived:
        click.echo(f"    the law lets a wrong implementation pass: {name}")


def summary(report: Report) -> str:
    """The last line."""
    counts = document(report)
    subject = report.subject
    survived = len(counts["wrong_survived"])
    if report.ok and not report.proved:
        note = "; a trained one is proved by `nanoplug tokenizer verify FOLDER`" if subject.kind == "tokenizer" else ""
        return f"UNPROVED  {subject.kind} {subject.name}: no law has a case for what it declares{note}"
    return (
        f"{'PASSED' if report.ok else 'FAILED'}  {subject.kind} {subject.name} on {subject.device}: "
        f"{counts['passed']} cases passed, {counts['failed']} failed, {counts['skipped']} laws not declared; "
        f"{counts['wrong_rejected']} of {counts['wrong_rejected'] + survived} wrong implementations rejected"
    )
