from __future__ import annotations

from typing import Any

from nanoplug.benching.timing import in_turn, median, seconds, stopwatch


def test_every_round_has_everybody_and_its_own_order() -> None:
    called: list[str] = []
    functions = [lambda name=name: called.append(name) for name in "abcd"]

    def measure(function: Any) -> float:
        function()
        return float(len(called))

    times = in_turn(functions, measure, rounds=8, warmup=2)
    assert called[:8] == [*"abcd", *"abcd"]
    rounds = ["".join(called[start : start + 4]) for start in range(8, 40, 4)]
    assert {"".join(sorted(one)) for one in rounds} == {"abcd"}
    assert len(set(rounds)) > 1
    assert [len(mine) for mine in times] == [8] * 4
    # A time belongs to the function that took it: it is the number of calls until then.
    assert all(called[int(time) - 1] == name for name, mine in zip("abcd", times, strict=True) for time in mine)


def test_seconds_wait_for_the_device_before_and_after() -> None:
    order: list[str] = []
    assert seconds(lambda: order.append("call"), lambda: order.append("wait")) >= 0
    assert order == ["wait", "call", "wait"]


def test_the_stopwatch_gives_milliseconds() -> None:
    import time

    assert 20 <= stopwatch("cpu")(lambda: time.sleep(0.02)) < 2000


def test_median() -> None:
    assert median([3.0, 1.0, 100.0]) == 3.0
