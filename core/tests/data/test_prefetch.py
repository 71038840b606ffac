from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from nanoplug.data.prefetch import Prefetch
from nanoplug.errors import ContractError


def count(limit: int, made: list[int], *, seconds: float = 0.0) -> Iterator[int]:
    for number in range(limit):
        time.sleep(seconds)
        made.append(number)
        yield number


def test_items_come_in_order_and_then_end() -> None:
    with Prefetch(count(50, [])) as items:
        assert list(items) == list(range(50))
        assert list(items) == []


def test_no_more_than_depth_are_made_ahead() -> None:
    made: list[int] = []
    with Prefetch(count(100, made), depth=3) as items:
        assert next(items) == 0
        time.sleep(0.2)
        assert 3 <= len(made) <= 5  # one given, three ready, one in the hand of the thread


def test_an_error_comes_in_its_turn() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError("in the source")

    with Prefetch(source()) as items:
        assert next(items) == 1
        for _ in range(2):
            with pytest.raises(ZeroDivisionError, match="in the source"):
                next(items)


def test_close_wakes_a_source_that_waits() -> None:
    woken = threading.Event()

    def source() -> Iterator[int]:
        yield 1
        woken.wait()
        raise ZeroDivisionError("woken")

    with Prefetch(source(), stop=woken.set) as items:
        assert next(items) == 1
    assert woken.is_set()


def test_close_ends_the_thread_at_any_time() -> None:
    before = threading.active_count()
    for taken in (0, 1, 5):
        items = Prefetch(count(10**9, []))
        for _ in range(taken):
            next(items)
        items.close()
        items.close()
        assert threading.active_count() == before
        with pytest.raises(ContractError, match="after close"):
            next(items)


def test_depth_must_be_positive() -> None:
    with pytest.raises(ContractError, match="depth is 0"):
        Prefetch(iter([1]), depth=0)
