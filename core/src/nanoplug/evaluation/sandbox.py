"""Runs a command that nobody vouches for: no network, bounded time, memory, processes and files."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from attrs import asdict, frozen

from nanoplug.errors import NanoplugError
from nanoplug.evaluation import confine

_OUTPUT_BYTES = 20_000
_GRACE_S = 10.0


class SandboxError(NanoplugError):
    """The sandbox cannot be had on this machine, or a command could not be started in it."""


@frozen(kw_only=True)
class Limits:
    """What a command may use. processes and scratch_bytes bind only in isolation.

    wall_s, cpu_s: seconds; CPU seconds count for each process. memory_bytes: address space of each process.
    processes: at once, threads included. file_bytes: largest file. scratch_bytes: size of /tmp, in memory.
    """

    wall_s: float = 10.0
    cpu_s: int = 10
    memory_bytes: int = 512 << 20
    processes: int = 16
    file_bytes: int = 16 << 20
    scratch_bytes: int = 64 << 20


@frozen(kw_only=True)
class Ran:
    """How a command ended. exit_code is None if a signal ended it, which is then `signal`."""

    exit_code: int | None
    signal: int | None
    timed_out: bool
    seconds: float
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        return self.exit_code == 0 and not self.timed_out


class Sandbox:
    """Where commands run.

    isolated: in namespaces of their own (Linux only): no network, the file system read-only but for /tmp and,
        where asked for, their folder, no privilege, and no process that outlives them. SandboxError, when the
        sandbox is made, if this machine does not allow that. False is unsafe: limits of time, memory and file size are
        all that is left, and a command can read, write and connect to whatever its user can.
    read_only: further folders that commands may read, such as a compiler outside of /usr.
    """

    def __init__(self, *, isolated: bool = True, read_only: Sequence[Path] = ()) -> None:
        self.isolated = isolated
        self._read_only = [str(path.resolve()) for path in read_only]
        if isolated:
            with tempfile.TemporaryDirectory(prefix="nanoplug-") as folder:
                self.run(["true"], Path(folder))

    def run(self, command: Sequence[str], folder: Path, *, limits: Limits | None = None, writable: bool = False) -> Ran:
        """Run `command` with `folder` as its working directory, which it may change only if `writable`.

        Under root the command has another user id, and what is in `folder` is made readable, or writable, for it.
        It reads no input and sees no environment but PATH, LC_ALL, HOME and TMPDIR. Of each output the first
        20,000 bytes are kept. Raises SandboxError if it could not be started.
        """
        limits = limits or Limits()
        if self.isolated and sys.platform != "linux":
            raise self._refusal(f"isolation needs Linux; this is {sys.platform}")
        with tempfile.TemporaryDirectory(prefix="nanoplug-") as own:
            root = Path(own, "root")
            root.mkdir()
            if self.isolated and os.geteuid() == 0:
                _open_to_others(folder, writable=writable)
            with open(Path(own, "stdout"), "w+b") as stdout, open(Path(own, "stderr"), "w+b") as stderr:
                request = {
                    "command": list(command),
                    "folder": str(folder.resolve()),
                    "root": str(root.resolve()) if self.isolated else "",
                    "writable": writable,
                    "read_only": self._read_only,
                    **asdict(limits),
                }
                report = _confined(request, stdout, stderr, wait_s=limits.wall_s + _GRACE_S)
                if report is None:
                    raise SandboxError(f"sandbox: it ended without a report: {_beginning(stderr) or 'no message'}.")
                if "refused" in report:
                    raise self._refusal(report["refused"])
                if "failed" in report:
                    raise SandboxError(f"sandbox: {report['failed']}.")
                exit_code = os.waitstatus_to_exitcode(report["status"])
                return Ran(
                    exit_code=exit_code if exit_code >= 0 else None,
                    signal=-exit_code if exit_code < 0 else None,
                    timed_out=report["timed_out"],
                    seconds=report["seconds"],
                    stdout=_beginning(stdout),
                    stderr=_beginning(stderr),
                )

    def _refusal(self, why: str) -> SandboxError:
        return SandboxError(
            f"sandbox: isolation cannot be had on this machine: {why}.",
            todo="Allow user namespaces (or run as root with CAP_SYS_ADMIN); for code that you trust there is "
            "--unsafe-no-sandbox.",
        )


def _confined(request: dict[str, Any], stdout: IO[bytes], stderr: IO[bytes], *, wait_s: float) -> dict[str, Any] | None:
    """Run `confine.py` and give its report; None if there is none."""
    reading, writing = os.pipe()
    with open(reading, "rb") as reports:
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", confine.__file__, json.dumps({**request, "report_fd": writing})],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                pass_fds=[writing],
                start_new_session=True,
            )
        finally:
            os.close(writing)
        try:
            # The script keeps the time itself; this limit is for a machine too busy to let it.
            with selectors.DefaultSelector() as selector:
                selector.register(reports, selectors.EVENT_READ)
                if not selector.select(wait_s):
                    return {"status": signal.SIGKILL, "timed_out": True, "seconds": wait_s}
            line = reports.readline()
            process.wait(wait_s)
            return json.loads(line) if line else None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _open_to_others(folder: Path, *, writable: bool) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | (0o777 if writable else 0o555))


def _beginning(output: IO[bytes]) -> str:
    output.seek(0)
    return output.read(_OUTPUT_BYTES).decode(errors="replace")
