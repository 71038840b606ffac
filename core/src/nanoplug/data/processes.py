"""Renders documents in processes of their own, ahead of their use; results come in the order of the tasks."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable, Mapping
from itertools import pairwise
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from nanoplug.data.rendering import Rendering
from nanoplug.data.tasks import Pieces, RenderText, Task
from nanoplug.errors import ContractError, DataError, NanoplugError

OpenRendering = Callable[[], Rendering]
"""Makes the rendering anew; it is pickled, and called in each process."""

_TASKS_EACH = 4
_ENDS_WITHIN_S = 5.0


@frozen
class _Rendered:
    """Pieces of each document, the length of each piece, and all ids one after another: cheap to send."""

    pieces: list[int]
    lengths: list[int]
    ids: NDArray[Any]


@frozen
class _Failed:
    kind: str
    message: str
    details: tuple[str, ...] = ()
    todo: str = ""


class RenderProcesses:
    """`count` processes; task n goes to process n mod count, so that what comes does not depend on timing.

    identity: of the rendering in this process, which theirs must equal. They start at the first task, ignore Ctrl-C,
    and end with this process, however it ends. Raises DataError that names the process if one ends early or fails.
    """

    def __init__(
        self, open_rendering: OpenRendering, *, count: int, row_tokens: int | None, identity: Mapping[str, Any]
    ) -> None:
        if count < 1:
            raise ContractError(f"tokenizer_workers is {count}; processes must be at least 1.")
        self.count = count
        self._open, self._row_tokens, self._identity = open_rendering, row_tokens, dict(identity)
        self._workers: list[tuple[BaseProcess, Connection]] = []
        self._sent = self._received = 0
        self._closed = threading.Event()

    @property
    def has_room(self) -> bool:
        """Whether a task can be submitted; a pipe never holds more than a few."""
        return self._sent - self._received < _TASKS_EACH * self.count

    @property
    def pending(self) -> int:
        """Tasks whose results have not been received."""
        return self._sent - self._received

    def submit(self, task: Task) -> None:
        if not self._workers:
            self._start()
        number = self._sent % self.count
        try:
            self._workers[number][1].send(task)
        except OSError:
            raise self._ended(number) from None
        self._sent += 1

    def receive(self) -> Pieces:
        """The result of the oldest pending task."""
        number = self._received % self.count
        answer = self._answer(number)
        self._received += 1
        if not isinstance(answer, _Rendered):
            raise self._failed(number, answer)
        ends = np.cumsum([0, *answer.lengths]).tolist()
        pieces = iter([answer.ids[start:end] for start, end in pairwise(ends)])
        return [[next(pieces) for _ in range(count)] for count in answer.pieces]

    def drop(self) -> None:
        """Forget what is pending."""
        while self.pending:
            self.receive()

    def close(self) -> None:
        """End the processes; a `receive` that waits elsewhere fails."""
        self._closed.set()
        for process, _ in self._workers:
            process.terminate()
        for process, connection in self._workers:
            process.join(_ENDS_WITHIN_S)
            if process.is_alive():
                process.kill()
                process.join()
            connection.close()

    def _start(self) -> None:
        if self._closed.is_set():
            raise ContractError("tokenizer processes: a task was given after close.")
        # Not forked: threads and an accelerator may be at work in this process.
        spawn = multiprocessing.get_context("spawn")
        for number in range(self.count):
            ours, theirs = spawn.Pipe()
            process = spawn.Process(
                target=_serve,
                args=(theirs, self._open, self._row_tokens),
                name=f"nanoplug-tokenizer-{number}",
                daemon=True,
            )
            process.start()
            theirs.close()
            self._workers.append((process, ours))
            if self._closed.is_set():  # by another thread, which did not see this one
                self.close()
                raise ContractError("tokenizer processes: closed while they started.")
        for number in range(self.count):
            ready = self._answer(number)
            if isinstance(ready, _Failed):
                raise self._failed(number, ready)
            if ready != self._identity:
                raise DataError(
                    f"{self._name(number)} opened another tokenizer or rendering than this process.",
                    details=[f"here {self._identity}", f"there {ready}"],
                    todo="Leave the tokenizer's folder alone while it is in use, and run the same command again.",
                )

    def _answer(self, number: int) -> Any:
        process, connection = self._workers[number]
        # The end of a process is seen here even if another holds its end of the pipe open.
        wait([connection, process.sentinel])
        try:
            if connection.poll():
                return connection.recv()
        except (EOFError, OSError):
            pass
        raise self._ended(number)

    def _name(self, number: int) -> str:
        return f"tokenizer process {number + 1} of {self.count} (pid {self._workers[number][0].pid})"

    def _ended(self, number: int) -> DataError:
        process = self._workers[number][0]
        process.join(_ENDS_WITHIN_S)
        code = process.exitcode
        if code is None:
            how = "closed its pipe"
        elif code < 0:
            how = f"was ended by {signal.Signals(-code).name}"
        else:
            how = f"ended with exit status {code}"
        return DataError(
            f"{self._name(number)} {how}.",
            todo="If it was killed for memory, lower --tokenizer-workers or --tokenizer-batch; 0 workers uses threads.",
        )

    def _failed(self, number: int, failure: _Failed) -> DataError:
        return DataError(
            failure.message if failure.kind == "" else f"{failure.kind}: {failure.message}",
            details=[*failure.details, f"in {self._name(number)}"],
            todo=failure.todo,
        )


def _serve(connection: Connection, open_rendering: OpenRendering, row_tokens: int | None) -> None:
    """The whole life of one process; it ends when the other end of the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        render = RenderText(open_rendering(), row_tokens=row_tokens, threads=1)
        answer: Any = dict(render.rendering.identity)
    except Exception as error:
        connection.send(_failure(error))
        return
    while True:
        try:
            connection.send(answer)
            task = connection.recv()
        except (EOFError, OSError):
            return
        try:
            answer = _flat(render(task))
        except Exception as error:
            answer = _failure(error)


def _flat(documents: Pieces) -> _Rendered:
    parts = [piece for pieces in documents for piece in pieces]
    ids = np.concatenate(parts) if parts else np.zeros(0, np.int32)
    return _Rendered([len(pieces) for pieces in documents], [len(part) for part in parts], ids)


def _failure(error: Exception) -> _Failed:
    if isinstance(error, NanoplugError):
        return _Failed("", error.message, error.details, error.todo)
    return _Failed(type(error).__name__, str(error))
