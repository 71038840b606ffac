"""The script by itself: what it reports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from nanoplug.evaluation import confine


def report(folder: Path, **changes: Any) -> dict[str, Any]:
    reading, writing = os.pipe()
    request = {
        "command": ["true"],
        "folder": str(folder),
        "root": "",
        "writable": False,
        "read_only": [],
        "wall_s": 5.0,
        "cpu_s": 5,
        "memory_bytes": 1 << 30,
        "processes": 8,
        "file_bytes": 1 << 20,
        "scratch_bytes": 1 << 20,
        "report_fd": writing,
        **changes,
    }
    command = [sys.executable, "-I", "-S", confine.__file__, json.dumps(request)]
    subprocess.run(command, pass_fds=[writing], check=True)
    os.close(writing)
    with open(reading) as lines:
        first: dict[str, Any] = json.loads(lines.readline())
    return first


def test_an_ended_command_is_reported_with_its_wait_status(tmp_path: Path) -> None:
    ended = report(tmp_path, command=["sh", "-c", "exit 4"])
    assert os.waitstatus_to_exitcode(ended["status"]) == 4
    assert not ended["timed_out"]
    assert 0 <= ended["seconds"] < 5


def test_a_command_over_its_time_is_reported_so(tmp_path: Path) -> None:
    ended = report(tmp_path, command=["sleep", "50"], wall_s=0.2)
    assert ended["timed_out"]
    assert os.waitstatus_to_exitcode(ended["status"]) == -9


def test_a_command_that_cannot_start_is_reported_first(tmp_path: Path) -> None:
    assert "cannot start no-such-command" in report(tmp_path, command=["no-such-command"])["failed"]


def test_a_root_that_cannot_be_built_is_a_refusal(tmp_path: Path) -> None:
    assert set(report(tmp_path, root=str(tmp_path / "missing"))) == {"refused"}


def test_the_script_needs_the_standard_library_alone() -> None:
    code = f"import sys, runpy; runpy.run_path({confine.__file__!r}); print('nanoplug' in sys.modules)"
    ran = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
