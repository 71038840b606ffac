"""Times that can be compared: the device idle before and after, and everybody in every round.

Drift then hits all alike.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

Call = Callable[[], Any]


def seconds(function: Call, wait: Call) -> float:
    """Wall time of one call, the device idle before and after."""
    wait()
    began = time.perf_counter()
    function()
    wait()
    return time.perf_counter() - began


def stopwatch(device: str) -> Callable[[Call], float]:
    """A function that gives the milliseconds of one call: between CUDA events on `cuda`, by the wall elsewhere."""
    import torch

    kind = torch.device(device).type
    if kind == "cuda":

        def between_events(function: Call) -> float:
            began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize(device)
            began.record()
            function()
            ended.record()
            torch.cuda.synchronize(device)
            return float(began.elapsed_time(ended))

        return between_events
    wait: Call = torch.mps.synchronize if kind == "mps" else lambda: None
    return lambda function: 1000 * seconds(function, wait)


def in_turn(
    functions: Sequence[Call], measure: Callable[[Call], float], *, rounds: int, warmup: int
) -> list[list[float]]:
    """What `measure` gives for each function in each round.

    The order is drawn anew for each round, so that none always follows the same other: a GPU at its power limit runs
    slower after a hot neighbour.
    """
    draw = random.Random(0)
    for _ in range(warmup):
        for function in functions:
            function()
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds):
        for index in draw.sample(range(len(functions)), len(functions)):
            times[index].append(measure(functions[index]))
    return times


def median(values: Sequence[float]) -> float:
    return statistics.median(values)
