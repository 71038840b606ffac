"""The laws as test classes. Inherit one, name your backend, and pytest runs each law as a test:

from nanoplug.conformance import AttentionLaws

class TestAcme(AttentionLaws):
    backend = "acme"
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import pytest

import nanoplug
from nanoplug.conformance.kit import laws_for, subject_for
from nanoplug.conformance.law import Law, Outcome, Subject, survivors, verify
from nanoplug.conformance.pytest_summary import PROPERTY
from nanoplug.errors import NanoplugError

SHOWN_FAILURES = 12


class Laws:
    """backend: its name, bare or as `distribution:name`. options: it is loaded with these. device: a torch device
    type; None is the best one here that the backend serves. On a machine that does not meet the backend's needs its
    tests are skipped; a backend that is broken fails them.
    """

    kind: ClassVar[str]
    backend: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    device: ClassVar[str | None] = None
    _subjects: ClassVar[dict[type, Subject]] = {}

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "law" in metafunc.fixturenames:
            metafunc.parametrize("law", laws_for(self.kind), ids=lambda law: law.name)

    @classmethod
    def subject(cls) -> Subject:
        """The backend, loaded once for the class."""
        if cls not in Laws._subjects:
            _skip_if_unavailable(cls.kind, cls.backend)
            try:
                Laws._subjects[cls] = subject_for(cls.kind, cls.backend, device=cls.device, options=cls.options)
            except NanoplugError as error:
                pytest.fail(str(error), pytrace=False)
        return Laws._subjects[cls]

    def test_law(self, law: Law) -> None:
        """The backend keeps the law on every case of its grid."""
        outcomes = verify([law], self.subject())
        if any(outcome.skipped for outcome in outcomes):
            pytest.skip(outcomes[0].skipped)
        broken = [outcome for outcome in outcomes if not outcome.ok]
        if broken:
            pytest.fail(describe(law, broken, len(outcomes)), pytrace=False)

    def test_law_rejects_wrong(self, law: Law, record_property: Callable[[str, object], None]) -> None:
        """The law tells each of its deliberately wrong implementations from a right one, here and now."""
        subject = self.subject()
        passed = survivors(law, subject)
        if passed:
            pytest.fail(f"law {law.name!r} lets wrong implementations pass: {', '.join(passed)}", pytrace=False)
        if law.wrong and any(True for _ in law.cases(subject)):
            record_property(PROPERTY, (self.kind, law.name, self.backend, [wrong.name for wrong in law.wrong]))


class AttentionLaws(Laws):
    kind = "attention"


class KernelLaws(Laws):
    kind = "kernel"


class TokenizerLaws(Laws):
    kind = "tokenizer"


class DeviceLaws(Laws):
    kind = "device"


def describe(law: Law, broken: Sequence[Outcome], total: int) -> str:
    """A failure to read: the law in words, then each broken case with its error and limit."""
    lines = [f"{law.name}: {law.says}", f"broken in {len(broken)} of {total} cases:"]
    lines += [f"  {outcome.case}: {outcome.detail}" for outcome in broken[:SHOWN_FAILURES]]
    if len(broken) > SHOWN_FAILURES:
        lines.append(f"  and {len(broken) - SHOWN_FAILURES} more")
    return "\n".join(lines)


def _skip_if_unavailable(kind: str, name: str) -> None:
    for row in nanoplug.plugins(kind, probe=False):
        if name in (row.name, row.id) and row.status == "unavailable":
            pytest.skip(f"{kind} {name!r} cannot run here: {'; '.join(row.reasons)}")
