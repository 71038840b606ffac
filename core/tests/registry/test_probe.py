"""A first load cannot end, stop or talk into the process that asks for it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from nanoplug.registry.catalogue import Entry
from nanoplug.registry.discover import discover
from nanoplug.registry.machine import Machine
from nanoplug.registry.probe import probe, probe_target
from nanoplug.registry.verdicts import Subject, Verdict, Verdicts


def _probe(plugin_folder: Any, backend: str, *, limit_s: float = 20, **options: Any) -> Verdict:
    plugin_folder.add("thing", {"backend": backend})
    return probe_target("thing.backend:Backend", options, limit_s)


def test_a_sound_backend_is_ok_and_gets_its_options(plugin_folder: Any) -> None:
    backend = "class Backend:\n    def __init__(self, *, rows):\n        print('noise')\n        assert rows == 3"
    assert _probe(plugin_folder, backend, rows=3).ok
    assert _probe(plugin_folder, backend, rows=4).outcome == "failed"


@pytest.mark.parametrize(
    "backend, outcome, says, cause",
    [
        ("import nowhere_at_all", "failed", "No module named 'nowhere_at_all'", "backend.py"),
        ("print('before'); import sys; sys.exit('licence')", "failed", "SystemExit: licence", "before"),
        ("Other = 1", "failed", "lies: thing.backend has no 'Backend'", "AttributeError"),
        (
            "import os, sys; print('dying', file=sys.stderr, flush=True); os._exit(7)",
            "crashed",
            "exit status 7",
            "dying",
        ),
        ("import os; os._exit(0)", "crashed", "exit status 0", ""),
        ("import ctypes; ctypes.string_at(0)", "crashed", "SIGSEGV", "Segmentation fault"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGABRT)", "crashed", "SIGABRT", ""),
    ],
)
def test_each_end_is_told_with_its_cause(plugin_folder: Any, backend: str, outcome: str, says: str, cause: str) -> None:
    verdict = _probe(plugin_folder, backend)
    assert verdict.outcome == outcome
    assert says in verdict.text
    assert cause in verdict.cause
    assert verdict.quarantines == (outcome == "crashed")


def test_a_load_without_end_is_stopped_with_all_it_started(plugin_folder: Any, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    backend = f"""
        import subprocess, time
        child = subprocess.Popen(["sleep", "1000"])
        open({str(pid)!r}, "w").write(str(child.pid))
        time.sleep(1000)
    """
    start = time.monotonic()
    verdict = _probe(plugin_folder, backend, limit_s=1.5)
    assert time.monotonic() - start < 10
    assert verdict.outcome == "hung"
    assert "1.5 s" in verdict.text
    for _ in range(50):
        if not _runs(int(pid.read_text())):
            return
        time.sleep(0.1)
    pytest.fail("what the load started still runs")


def test_the_child_sees_no_ranks_and_no_modules_of_the_working_directory(
    plugin_folder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise RuntimeError('shadowed')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    backend = "import os\nassert not {'RANK', 'TORCHELASTIC_RUN_ID'} & set(os.environ)\nclass Backend: pass"
    assert _probe(plugin_folder, backend).ok


def test_a_verdict_is_remembered_and_not_asked_for_again(
    plugin_folder: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    count = tmp_path / "count"
    plugin_folder.add_backend("once", backend=f"open({str(count)!r}, 'a').write('x')\nclass Backend: pass")
    plugin_folder.add_backend("never", backend="raise OSError('libfoo.so.1')")
    entries, machine = list(discover([str(plugin_folder.path)]).entries()), Machine.here()

    def ask() -> Verdicts:
        verdicts = Verdicts(path=tmp_path / "base" / "probes.json")
        probe(entries, machine, verdicts)
        return verdicts

    for _ in range(3):
        verdicts = ask()
    never, once = (_verdict(entry, machine, verdicts) for entry in entries)
    assert never.outcome == "failed"
    assert "libfoo.so.1" in never.cause
    assert once.ok
    assert count.read_text() == "x"
    assert capsys.readouterr().err.count("first load of attention never, attention once") == 1


def test_a_changed_package_is_probed_anew(plugin_folder: Any, tmp_path: Path) -> None:
    plugin_folder.add_backend("changing", backend="import os; os._exit(1)")
    verdicts, machine = Verdicts(path=tmp_path / "probes.json"), Machine.here()
    (entry,) = discover([str(plugin_folder.path)]).entries()
    probe([entry], machine, verdicts)
    assert _verdict(entry, machine, verdicts).outcome == "crashed"
    (plugin_folder.path / "changing" / "backend.py").write_text("class Backend: pass\n")
    probe([entry], machine, verdicts)
    assert _verdict(entry, machine, verdicts).ok


def _verdict(entry: Entry, machine: Machine, verdicts: Verdicts) -> Verdict:
    verdict = verdicts.find(Subject.of(entry, machine), 1.0)
    assert verdict is not None
    return verdict


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
    except OSError:
        os.kill(pid, 0)
        return True
