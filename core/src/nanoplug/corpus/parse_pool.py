"""Spreads units over worker processes. A crash or hang of clang ends one worker, and costs the unit that it was at."""

from __future__ import annotations

import contextlib
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from nanoplug.corpus.parse_unit import Unit, UnitFacts
from nanoplug.corpus.parse_worker import receive, send

WORKER = (sys.executable, "-m", "nanoplug.corpus.parse_worker")
_STDERR_BYTES = 2000


class ParsePool:
    """workers: processes at most. library, names: for `UnitParser`. limit_s: seconds a unit may take, from it."""

    def __init__(
        self,
        workers: int,
        library: str,
        names: Mapping[str, str],
        limit_s: Callable[[Unit], float],
        command: Sequence[str] = WORKER,
    ) -> None:
        self._start = (library, dict(names))
        self._limit_s = limit_s
        self._command = command
        self._workers = [_Worker() for _ in range(max(1, workers))]

    def __enter__(self) -> ParsePool:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            worker.stop()

    def parse(self, units: Sequence[Unit], each: Callable[[int, UnitFacts | str], None]) -> None:
        """Parse all units and call `each` with a unit's number and its facts, or why there are none, in any order."""
        tasks: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        answers: queue.SimpleQueue[tuple[int, UnitFacts | str] | BaseException] = queue.SimpleQueue()
        # The longest first, so that none is left for the end alone.
        for number in sorted(range(len(units)), key=lambda i: -len(units[i].files)):
            tasks.put(number)
        threads = []
        for worker in self._workers[: len(units)]:
            tasks.put(None)
            threads.append(threading.Thread(target=self._run, args=(worker, units, tasks, answers), daemon=True))
            threads[-1].start()
        for _ in units:
            answer = answers.get()
            if isinstance(answer, BaseException):
                raise answer
            each(*answer)
        for thread in threads:
            thread.join()

    def _run(self, worker: _Worker, units: Sequence[Unit], tasks: Any, answers: Any) -> None:
        while (number := tasks.get()) is not None:
            try:
                answers.put((number, self._one(worker, units[number])))
            except BaseException as error:
                answers.put(error)
                return

    def _one(self, worker: _Worker, unit: Unit) -> UnitFacts | str:
        process = worker.process
        if process is None:
            process = worker.start(self._command)
            with contextlib.suppress(OSError):
                send(process.stdin, self._start)  # type: ignore[arg-type]
        limit_s = self._limit_s(unit)
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(limit_s, end)
        timer.daemon = True
        timer.start()
        try:
            send(process.stdin, unit)  # type: ignore[arg-type]
            answer: UnitFacts | str = receive(process.stdout)  # type: ignore[arg-type]
            return answer
        except (EOFError, OSError):
            said = worker.stop()
            if late.is_set():
                return f"took longer than {limit_s:g} s"
            return f"clang crashed (exit status {process.returncode}){': ' + said if said else ''}"
        finally:
            timer.cancel()


class _Worker:
    """One process and what it prints."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None

    def start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr
        )  # fmt: skip
        return self.process

    def stop(self) -> str:
        """End it; the last line that it printed on its standard error."""
        if self.process is None or self._stderr is None:
            return ""
        for stream in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()
        self.process.kill()
        self.process.wait()
        self._stderr.seek(0, 2)
        self._stderr.seek(max(0, self._stderr.tell() - _STDERR_BYTES))
        lines = self._stderr.read().decode("utf-8", "replace").strip().splitlines()
        self._stderr.close()
        self.process = self._stderr = None
        return lines[-1] if lines else ""
