"""What a law is, how laws run against one backend, and how a law proves itself.

A law that a wrong implementation also passes is a defect, so each law carries deliberately wrong
implementations, and `survivors` lists those that it fails to reject.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen

from nanoplug.spec import Spec


@frozen(kw_only=True)
class Subject:
    """The backend under test. device: the torch device on which its inputs are made, such as `cuda:0`."""

    kind: str
    name: str
    spec: Spec
    backend: Any
    device: str = "cpu"


@frozen
class Case:
    """One point of a law's grid: its name for reports, and its values."""

    name: str
    values: Mapping[str, Any] = field(factory=dict)


@frozen(kw_only=True)
class Outcome:
    """One law on one case. error and limit are in the law's own unit; None where it has no number."""

    law: str
    case: str
    ok: bool
    error: float | None = None
    limit: float | None = None
    skipped: str = ""
    detail: str = ""


class Broken(Exception):
    """Raised by a check when the law does not hold. error and limit as in Outcome."""

    def __init__(self, detail: str, *, error: float | None = None, limit: float | None = None) -> None:
        super().__init__(detail)
        self.detail, self.error, self.limit = detail, error, limit


@frozen
class Measured:
    """Returned by a check that holds with a number."""

    error: float | None = None
    limit: float | None = None


@frozen
class Wrong:
    """A deliberately wrong implementation: `make()` gives an object that serves the same contract."""

    name: str
    make: Callable[[], Any]


@frozen(kw_only=True)
class Law:
    """One law of a kind.

    says: the law in one sentence. cases: the grid that fits the subject's declared capabilities; a law
    that asks for an undeclared capability gives no cases. check: returns None or Measured if the law holds on
    a case, raises Broken if not; any other exception also breaks the law. wrong: what it must reject.
    """

    name: str
    says: str
    cases: Callable[[Subject], Iterable[Case]]
    check: Callable[[Subject, Case], Measured | None]
    wrong: tuple[Wrong, ...]


def judge(law: Law, subject: Subject, case: Case) -> Outcome:
    """Run one law on one case; never raises for a broken law."""
    try:
        measured = law.check(subject, case) or Measured()
    except Broken as broken:
        return Outcome(
            law=law.name, case=case.name, ok=False, error=broken.error, limit=broken.limit, detail=broken.detail
        )
    except Exception as error:  # a backend may raise anything; that breaks the law and is reported
        return Outcome(law=law.name, case=case.name, ok=False, detail=f"{type(error).__name__}: {error}")
    return Outcome(law=law.name, case=case.name, ok=True, error=measured.error, limit=measured.limit)


def verify(laws: Sequence[Law], subject: Subject) -> list[Outcome]:
    """Every law on every case; a law without cases gives one skipped outcome."""
    outcomes: list[Outcome] = []
    for law in laws:
        cases = list(law.cases(subject))
        if not cases:
            outcomes.append(Outcome(law=law.name, case="", ok=True, skipped="no case for what is declared"))
        outcomes.extend(judge(law, subject, case) for case in cases)
    return outcomes


def survivors(law: Law, subject: Subject) -> list[str]:
    """Names of wrong implementations that pass every case of `law` under the subject's declared capabilities.

    A law without cases for this subject proves nothing about it and gives an empty list.
    """
    passed: list[str] = []
    cases = list(law.cases(subject))
    for wrong in law.wrong if cases else ():
        impostor = evolve(subject, backend=wrong.make(), name=f"wrong:{wrong.name}")
        if all(judge(law, impostor, case).ok for case in cases):
            passed.append(wrong.name)
    return passed
