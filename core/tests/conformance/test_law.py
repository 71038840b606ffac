"""Laws are judged case by case, and prove themselves on wrong implementations."""

from __future__ import annotations

from nanoplug.conformance.law import Broken, Case, Law, Measured, Subject, Wrong, judge, survivors, verify
from nanoplug.spec import AttentionSpec

SPEC = AttentionSpec(name="number", summary="", load="")


def subject(backend: object) -> Subject:
    return Subject(kind="attention", name="number", spec=SPEC, backend=backend)


def _check(subject: Subject, case: Case) -> Measured:
    error = abs(subject.backend - case.values["want"])
    if error > 1:
        raise Broken("too far", error=error, limit=1)
    return Measured(error, 1)


CASES = (Case("two", {"want": 2.0}), Case("three", {"want": 3.0}))
LAW = Law(
    name="near",
    says="Stays near.",
    cases=lambda subject: CASES,
    check=_check,
    wrong=(Wrong("nine", lambda: 9), Wrong("four", lambda: 4), Wrong("three", lambda: 3), Wrong("text", lambda: "4")),
)


def test_outcomes_carry_the_numbers() -> None:
    good, bad = verify([LAW], subject(1.5))
    assert (good.ok, good.error, good.limit) == (True, 0.5, 1)
    assert (bad.ok, bad.error, bad.limit, bad.detail) == (False, 1.5, 1, "too far")


def test_any_exception_breaks_the_law_and_is_told() -> None:
    outcome = judge(LAW, subject("text"), CASES[0])
    assert not outcome.ok
    assert outcome.detail.startswith("TypeError: ")


def test_a_law_without_cases_is_skipped_and_proves_nothing() -> None:
    empty = Law(name="empty", says="", cases=lambda subject: (), check=_check, wrong=LAW.wrong)
    (outcome,) = verify([empty], subject(2))
    assert outcome.ok
    assert outcome.skipped
    assert survivors(empty, subject(2)) == []


def test_survivors_pass_every_case() -> None:
    assert survivors(LAW, subject(2)) == ["three"]
