from __future__ import annotations

import json
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from nanoplug.registry import verdicts as module
from nanoplug.registry.discover import discover
from nanoplug.registry.machine import Machine
from nanoplug.registry.verdicts import CRASHED, FAILED, HUNG, OK, Subject, Verdict, Verdicts, installed

SUBJECT = Subject("place", {"files_sha256": "1"})


def _path(tmp_path: Path) -> Path:
    return tmp_path / "base" / "probes.json"


def test_a_verdict_is_read_back_by_another_object(tmp_path: Path) -> None:
    verdict = Verdict(outcome=CRASHED, text="it died", cause="all of it", limit_s=30)
    Verdicts(path=_path(tmp_path)).record(SUBJECT, verdict)
    assert Verdicts(path=_path(tmp_path)).find(SUBJECT, 30) == verdict


def test_a_verdict_on_other_facts_or_another_place_is_none(tmp_path: Path) -> None:
    verdicts = Verdicts(path=_path(tmp_path))
    verdicts.record(SUBJECT, Verdict(outcome=OK))
    assert verdicts.find(Subject("place", {"files_sha256": "2"}), 1) is None
    assert verdicts.find(Subject("elsewhere", SUBJECT.facts), 1) is None


def test_a_failure_is_asked_again_once_something_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = Verdicts(path=_path(tmp_path))
    for outcome, stays in ((FAILED, False), (CRASHED, True), (OK, True)):
        verdicts.record(SUBJECT, Verdict(outcome=outcome, installed=installed()))
        assert verdicts.find(SUBJECT, 1) is not None
        with monkeypatch.context() as patch:
            patch.setattr(module, "installed", lambda: "another set")
            assert (verdicts.find(SUBJECT, 1) is not None) == stays


def test_a_hang_is_asked_again_when_there_is_more_time(tmp_path: Path) -> None:
    verdicts = Verdicts(path=_path(tmp_path))
    verdicts.record(SUBJECT, Verdict(outcome=HUNG, limit_s=5))
    assert verdicts.find(SUBJECT, 5) is not None
    assert verdicts.find(SUBJECT, 6) is None


def test_what_others_record_meanwhile_is_kept(tmp_path: Path) -> None:
    first, second = Verdicts(path=_path(tmp_path)), Verdicts(path=_path(tmp_path))
    first.record(Subject("a", {}), Verdict(outcome=OK))
    second.record(Subject("b", {}), Verdict(outcome=OK))
    assert set(json.loads(_path(tmp_path).read_text())["verdicts"]) == {"a", "b"}


def test_who_waited_for_its_turn_reads_what_the_other_found(tmp_path: Path) -> None:
    first, second = Verdicts(path=_path(tmp_path)), Verdicts(path=_path(tmp_path))
    found: list[Verdict | None] = []

    def wait() -> None:
        with second.turn():
            found.append(second.find(SUBJECT, 1))

    with first.turn():
        waiting = Thread(target=wait)
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        first.record(SUBJECT, Verdict(outcome=OK))
    waiting.join(10)
    assert found == [Verdict(outcome=OK)]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format": 1}', '{"format": 1, "verdicts": {"a": {"verdict": {}}}}']
)
def test_a_damaged_file_is_said_and_made_anew(tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    _path(tmp_path).parent.mkdir()
    _path(tmp_path).write_text(content)
    verdicts = Verdicts(path=_path(tmp_path))
    assert "probes.json" in capsys.readouterr().err
    verdicts.record(SUBJECT, Verdict(outcome=OK))
    assert Verdicts(path=_path(tmp_path)).find(SUBJECT, 1) == Verdict(outcome=OK)


def test_a_base_folder_that_cannot_be_written_is_said_and_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    verdicts = Verdicts(path=tmp_path / "file" / "probes.json")
    with verdicts.turn():
        verdicts.record(SUBJECT, Verdict(outcome=OK))
    assert verdicts.find(SUBJECT, 1) == Verdict(outcome=OK)
    assert "is not remembered" in capsys.readouterr().err


def test_the_subject_holds_what_a_load_depends_on(plugin_folder: Any) -> None:
    plugin_folder.add_backend("well")
    (entry,) = discover([str(plugin_folder.path)]).entries()
    facts = Subject.of(entry, Machine.here()).facts
    assert facts["distribution"] == "well 1.0"
    assert len(facts["files_sha256"]) == 64
    assert facts != Subject.of(entry, Machine.described("sm_90,torch=2.9")).facts


def test_installed_changes_with_a_distribution(plugin_folder: Any) -> None:
    before = installed()
    plugin_folder.add("another", {})
    assert installed() != before
