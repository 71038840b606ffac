from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from nanoplug.benching import proof as module
from nanoplug.benching.proof import Proofs
from nanoplug.conformance.kit import LawReport, Report
from nanoplug.conformance.law import Law, Outcome

Make = Callable[..., Any]


@pytest.fixture
def proven(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the contenders whose laws were run; one named `wrong` breaks one."""
    run: list[str] = []

    def run_laws(subject: Any) -> Report:
        run.append(f"{subject.name} {subject.device}")
        ok = subject.name != "wrong"
        law = Law(name="window", says="", cases=lambda _: [], check=lambda *_: None, wrong=())
        return Report(subject=subject, laws=(LawReport(law=law, outcomes=(Outcome(law="window", case="c", ok=ok),)),))

    monkeypatch.setattr(module, "run_laws", run_laws)
    return run


def test_laws_run_once_for_the_same_files_versions_and_device(
    contender: Make, proven: list[str], tmp_path: Path
) -> None:
    said: list[str] = []
    path = tmp_path / "bench" / "proofs.json"
    one = contender("one")
    assert Proofs(path, "here").of(one, "cpu", said.append).passed
    assert Proofs(path, "here").of(one, "cpu", said.append).passed
    assert proven == ["one cpu"]
    assert len(said) == 1
    Proofs(path, "here").of(evolve(one, made_of={**one.made_of, "files_sha256": "g"}), "cpu", said.append)
    Proofs(path, "here").of(one, "cuda", said.append)
    Proofs(path, "elsewhere").of(one, "cuda", said.append)
    assert proven == ["one cpu", "one cpu", "one cuda", "one cuda"]


def test_one_that_breaks_a_law_is_remembered_as_that(contender: Make, proven: list[str], tmp_path: Path) -> None:
    proofs = Proofs(tmp_path / "proofs.json", "here")
    for _ in range(2):
        proof = proofs.of(contender("wrong"), "cpu", lambda _: None)
        assert (proof.passed, proof.text) == (False, "breaks window")
    assert proven == ["wrong cpu"]


def test_a_damaged_file_is_said_to_be_and_made_anew(
    contender: Make, proven: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "proofs.json"
    path.write_text('{"format": 1, "proofs": {"x": 3}}')
    assert Proofs(path, "here").of(contender("one"), "cpu", lambda _: None).passed
    assert "cannot be read" in capsys.readouterr().err
    assert Proofs(path, "here").of(contender("one"), "cpu", lambda _: None).passed
    assert len(proven) == 1


def test_one_that_no_law_has_a_case_for_has_proved_nothing(
    contender: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    law = Law(name="window", says="", cases=lambda _: [], check=lambda *_: None, wrong=())
    skipped = LawReport(law=law, outcomes=(Outcome(law="window", case="", ok=True, skipped="no case"),))
    monkeypatch.setattr(module, "run_laws", lambda subject: Report(subject=subject, laws=(skipped,)))
    proof = Proofs(tmp_path / "proofs.json", "here").of(contender("one"), "cpu", lambda _: None)
    assert (proof.passed, proof.text) == (False, "no law has a case for what it declares")
