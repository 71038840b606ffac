"""Laws by kind, a backend by name, and the report of both."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nanoplug.conformance.kit import LawReport, laws_for, run_laws, subject_for
from nanoplug.conformance.law import Case, Law, Subject, Wrong
from nanoplug.errors import PluginError
from nanoplug.spec import KINDS, AttentionSpec

RIGHT = "from nanoplug.conformance.attention_wrong import Right as Backend\n"


@pytest.mark.parametrize("kind", KINDS)
def test_every_law_has_a_name_of_its_own_and_something_to_reject(kind: str) -> None:
    laws = laws_for(kind)
    assert laws
    assert len({law.name for law in laws}) == len(laws)
    for law in laws:
        assert law.says.strip(), law.name
        assert law.wrong, f"{kind} law {law.name!r} has no wrong implementation"
        assert len({wrong.name for wrong in law.wrong}) == len(law.wrong), law.name


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(PluginError, match="did you mean 'kernel'"):
        laws_for("kernal")


def test_a_subject_has_its_spec_its_backend_and_a_device(plugin_folder: object) -> None:
    plugin_folder.add_backend("acme", "window=True, needs=Needs(devices=['cpu'])", backend=RIGHT)  # type: ignore[attr-defined]
    subject = subject_for("attention", "acme")
    assert (subject.kind, subject.name, subject.device) == ("attention", "acme", "cpu")
    assert isinstance(subject.spec, AttentionSpec)
    assert subject.spec.window
    assert type(subject.backend).__name__ == "Right"
    assert subject_for("attention", "acme:acme", device="cpu").spec == subject.spec


def test_a_device_that_the_backend_does_not_serve_is_refused(plugin_folder: object) -> None:
    plugin_folder.add_backend("acme", "needs=Needs(devices=['cpu'])", backend=RIGHT)  # type: ignore[attr-defined]
    with pytest.raises(PluginError, match="cannot serve"):
        subject_for("attention", "acme", device="mps")


def test_the_report_has_each_law_and_its_own_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(subject: Subject, case: Case) -> None:
        if subject.backend != 1:
            raise ValueError("not one")

    def law(name: str, *wrong: Wrong, cases: int = 2) -> Law:
        return Law(name=name, says="", cases=lambda _: [Case(str(n)) for n in range(cases)], check=check, wrong=wrong)

    laws = (law("proven", Wrong("two", lambda: 2)), law("unproven", Wrong("one", lambda: 1)), law("none", cases=0))
    monkeypatch.setattr("nanoplug.conformance.kit.laws_for", lambda kind: laws)
    spec = AttentionSpec(name="n", summary="", load="")
    told: list[LawReport] = []
    report = run_laws(Subject(kind="attention", name="n", spec=spec, backend=1), told.append)
    assert tuple(told) == report.laws
    assert [(one.ok, one.skipped, one.rejected, one.survived) for one in report.laws] == [
        (True, False, 1, ()),
        (False, False, 0, ("one",)),
        (True, True, 0, ()),
    ]
    assert not report.ok
    assert len(report.outcomes) == 5


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys; from nanoplug.conformance import Law, subject_for; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
