"""What a command in the sandbox cannot do. The commands are Python, so that no compiler is needed."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from nanoplug.evaluation import confine
from nanoplug.evaluation.sandbox import Limits, Ran, Sandbox, SandboxError

PYTHON = shutil.which("python3", path="/usr/bin:/bin") or ""
needs_system_python = pytest.mark.skipif(not PYTHON, reason="no python3 in the system folders")
QUICK = Limits(wall_s=5.0)


def running(marker: str) -> list[str]:
    """Command lines of this machine's processes that hold `marker`."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in lines if marker in line]


def run(sandbox: Sandbox, code: str, folder: Path, *, limits: Limits = QUICK, writable: bool = False) -> Ran:
    return sandbox.run([PYTHON or sys.executable, "-I", "-S", "-c", code], folder, limits=limits, writable=writable)


def test_results_come_back(sandbox: Sandbox, tmp_path: Path) -> None:
    good = sandbox.run(["sh", "-c", "echo out; echo err >&2"], tmp_path)
    assert (good.ok, good.exit_code, good.stdout, good.stderr) == (True, 0, "out\n", "err\n")
    failing = sandbox.run(["sh", "-c", "exit 3"], tmp_path)
    assert (failing.ok, failing.exit_code, failing.signal) == (False, 3, None)
    killed = sandbox.run(["sh", "-c", "kill -ABRT $$"], tmp_path)
    assert (killed.ok, killed.exit_code, killed.signal) == (False, None, 6)


def test_a_command_that_is_not_there_is_an_error(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="no-such-command"):
        sandbox.run(["no-such-command"], tmp_path)


def test_an_endless_loop_is_stopped_in_time(sandbox: Sandbox, tmp_path: Path) -> None:
    begun = time.monotonic()
    slept = sandbox.run(["sh", "-c", "sleep 100"], tmp_path, limits=Limits(wall_s=0.5))
    assert slept.timed_out
    assert not slept.ok
    spun = sandbox.run(["sh", "-c", "while :; do :; done"], tmp_path, limits=Limits(wall_s=30, cpu_s=1))
    assert spun.signal is not None
    assert time.monotonic() - begun < 10


@needs_system_python
def test_processes_are_bounded_and_none_outlives_the_command(sandbox: Sandbox, tmp_path: Path) -> None:
    bomb = (
        "import os, time\n"
        "made = 0\n"
        "try:\n"
        "    while made < 200:\n"
        "        if os.fork() == 0:\n"
        "            os.setsid(); time.sleep(1000)\n"
        "        made += 1\n"
        "except BlockingIOError:\n"
        "    pass\n"
        "print(made)\n"
    )
    marker = f"nanoplug_bomb_{os.getpid()}"
    ran = run(sandbox, f"# {marker}\n{bomb}", tmp_path, limits=Limits(wall_s=20, processes=12))
    assert 0 < int(ran.stdout) < 12
    assert not running(marker)
    endless = run(
        sandbox,
        f"# {marker}\nimport os\nwhile True:\n try: os.fork()\n except OSError: pass",
        tmp_path,
        limits=Limits(wall_s=1, processes=12),
    )
    assert endless.timed_out
    assert not running(marker)


@needs_system_python
def test_memory_and_files_are_bounded(sandbox: Sandbox, tmp_path: Path) -> None:
    huge = run(sandbox, "x = bytearray(600 << 20); print('had it')", tmp_path)
    assert not huge.ok
    assert "MemoryError" in huge.stderr
    assert run(sandbox, "x = bytearray(100 << 20); print('had it')", tmp_path).ok
    write = "f = open('/tmp/x', 'wb')\nfor _ in range(64): f.write(bytes(1 << 20)); f.flush()"
    assert not run(sandbox, write, tmp_path, limits=Limits(wall_s=5, file_bytes=4 << 20)).ok
    full = run(sandbox, write, tmp_path, limits=Limits(wall_s=5, file_bytes=1 << 30, scratch_bytes=4 << 20))
    assert "No space left" in full.stderr
    flood = run(sandbox, "while True: print('x' * 1000)", tmp_path, limits=Limits(wall_s=5, file_bytes=1 << 20))
    assert not flood.ok
    assert len(flood.stdout) <= 20_000


CONNECT = "import socket; socket.create_connection(('127.0.0.1', {port}), timeout=2)"


@needs_system_python
def test_the_network_is_out_of_reach(sandbox: Sandbox, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = CONNECT.format(port=server.getsockname()[1])
        stopped = run(sandbox, code, tmp_path)
        assert not stopped.ok
        assert "unreachable" in stopped.stderr
        # The same command reaches it unconfined, so the test can fail.
        assert run(Sandbox(isolated=False), code, tmp_path).ok


@needs_system_python
def test_files_of_others_are_neither_seen_nor_changed(sandbox: Sandbox, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "input").write_text("given")
    assert "No such file" in run(sandbox, f"open({str(secret)!r})", folder).stderr
    assert run(sandbox, "print(open('input').read())", folder).stdout == "given\n"
    for path in ("input", "new", "/usr/new", "/new", "/etc/passwd", "/dev/new"):
        refused = run(sandbox, f"open({path!r}, 'a')", folder, writable=False)
        assert not refused.ok, path
    assert run(sandbox, "open('new', 'w').write('made'); open('/tmp/t', 'w')", folder, writable=True).ok
    assert (folder / "new").read_text() == "made"
    assert not Path("/usr/new").exists()


@needs_system_python
def test_no_privilege_and_no_environment_is_left(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NANOPLUG_TEST_TOKEN", "t0ken")
    code = "import os; print(os.getuid(), sorted(os.environ)); os.chroot('/tmp')"
    ran = run(sandbox, code, tmp_path)
    uid, _, names = ran.stdout.partition(" ")
    assert int(uid) != 0
    assert set(eval(names)) <= {"HOME", "LC_ALL", "LC_CTYPE", "PATH", "TMPDIR"}
    assert "not permitted" in ran.stderr
    unshare = "import ctypes; print(ctypes.CDLL(None).unshare(0x20000))"
    assert run(sandbox, unshare, tmp_path).stdout == "-1\n"


def test_unsafe_mode_still_limits_time_and_kills_the_group(tmp_path: Path) -> None:
    unsafe = Sandbox(isolated=False)
    assert not unsafe.isolated
    assert unsafe.run(["sh", "-c", "pwd"], tmp_path).stdout.strip() == str(tmp_path.resolve())
    marker = f"1234{os.getpid()}"
    stopped = unsafe.run(["sh", "-c", f"sleep {marker} & sleep {marker}"], tmp_path, limits=Limits(wall_s=0.5))
    assert stopped.timed_out
    assert not running(marker)


def test_isolation_that_cannot_be_had_is_an_error_and_never_silent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refusing = tmp_path / "refusing.py"
    refusing.write_text(
        "import json, os, sys\n"
        "os.write(json.loads(sys.argv[1])['report_fd'], b'{\"refused\": \"unshare: not permitted\"}')\n"
    )
    monkeypatch.setattr(confine, "__file__", str(refusing))
    with pytest.raises(SandboxError, match=r"cannot be had.*unshare: not permitted") as caught:
        Sandbox()
    assert "--unsafe-no-sandbox" in str(caught.value)


def test_isolation_needs_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SandboxError, match="needs Linux"):
        Sandbox()
