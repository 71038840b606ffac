"""Makes the next items of an iterator on a thread, ahead of their use."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

from attrs import frozen

from nanoplug.errors import ContractError

T = TypeVar("T")
_LOOK_S = 0.05


@frozen
class _Last:
    """Stands behind the last item: the source ended, or failed with `error`."""

    error: BaseException | None


class Prefetch(Generic[T]):
    """Iterates over `source`, holding up to `depth` items ready.

    Items come in the order of the source, whose errors are raised here, in their turn. Use it as a context manager, or
    call `close`, so that the thread ends. stop: called by `close` before it waits, to wake a source that waits itself.
    """

    def __init__(self, source: Iterator[T], *, depth: int = 2, stop: Callable[[], None] | None = None) -> None:
        if depth < 1:
            raise ContractError(f"Prefetch: depth is {depth}; it must be at least 1.")
        self._source = source
        self._ready: queue.Queue[T | _Last] = queue.Queue(depth)
        self._stop, self._wake = threading.Event(), stop
        self._last: _Last | None = None
        self._thread = threading.Thread(target=self._work, name="nanoplug-prefetch", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._stop.is_set():
            raise ContractError("Prefetch: next was called after close.")
        if self._last is None:
            item = self._ready.get()
            if not isinstance(item, _Last):
                return item
            self._last = item
        if self._last.error is not None:
            raise self._last.error
        raise StopIteration

    def close(self) -> None:
        """Stop the thread and wait until it has ended; items that are ready are dropped."""
        self._stop.set()
        if self._wake is not None:
            self._wake()
        self._thread.join()

    def __enter__(self) -> Prefetch[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _work(self) -> None:
        try:
            for item in self._source:
                if not self._offer(item):
                    return
            self._offer(_Last(None))
        except BaseException as error:  # raised again where the item is asked for
            self._offer(_Last(error))

    def _offer(self, item: T | _Last) -> bool:
        while not self._stop.is_set():
            try:
                self._ready.put(item, timeout=_LOOK_S)
                return True
            except queue.Full:
                continue
        return False
