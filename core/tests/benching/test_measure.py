from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from nanoplug.benching import measure as module
from nanoplug.benching.measure import Terms, measure_at
from nanoplug.benching.report import profile, rows, shown
from nanoplug.benching.shapes import parse_shape

TERMS = Terms(device="cpu", dtype="fp32", compiled=False, rounds=3)
SHAPE = parse_shape("attention", "B=1,T=32,H=4,G=2,D=8")
Make = Callable[..., Any]


def test_a_good_one_has_times_memory_and_small_errors(contender: Make) -> None:
    (result,) = measure_at(SHAPE, [contender("good")], TERMS)
    assert result.failed == ""
    assert 0 < result.least_ms <= result.training_ms == result.ms
    assert result.forward_ms > 0
    results_mib = 4 * (2 * 32 * 4 * 8 + 2 * 32 * 2 * 8) / 2**20
    assert result.peak_mib >= results_mib
    assert result.beyond_results_mib == pytest.approx(result.peak_mib - results_mib)
    assert result.output_error < 1e-6
    assert result.gradient_error < 1e-6


def test_errors_are_relative_and_of_output_and_gradient(contender: Make) -> None:
    (result,) = measure_at(SHAPE, [contender("off", off=0.01)], TERMS)
    assert result.output_error == pytest.approx(0.01, rel=1e-3)
    assert result.gradient_error == pytest.approx(0.01, rel=1e-3)


def test_the_loss_is_measured_too(contender: Make) -> None:
    shape = parse_shape("kernel", "N=40,D=8,V=50,softcap=15")
    good, off = measure_at(shape, [contender("good", kind="kernel"), contender("z", kind="kernel", off=0.5)], TERMS)
    errors = {result.contender.name: result.gradient_error for result in (good, off)}
    assert errors["good"] < 1e-6
    assert errors["z"] == pytest.approx(0.5, rel=1e-3)


def test_what_cannot_be_done_is_a_row_and_comes_last(contender: Make) -> None:
    contenders = [
        contender("full", fails=torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 4 GiB")),
        contender("host", fails=RuntimeError("DefaultCPUAllocator: not enough memory: you tried")),
        contender("broken", fails=ValueError("no such shape\nand more")),
        contender("nan", off=math.nan),
        contender("excused", excused={str(SHAPE): "serves no grouped queries"}),
        contender("good"),
    ]
    results = {result.contender.name: result for result in measure_at(SHAPE, contenders, TERMS)}
    assert next(iter(results)) == "good"
    assert results["full"].failed == results["host"].failed == "out of memory"
    assert results["broken"].failed == "ValueError: no such shape"
    assert "not all finite" in results["nan"].failed
    assert results["excused"].failed == "serves no grouped queries"
    assert contenders[4].backend.calls == 0
    assert all(result.training_ms is None for name, result in results.items() if name != "good")


def test_one_that_fails_while_it_is_timed_does_not_spoil_the_others(contender: Make) -> None:
    late = contender("late")

    def attend(*arguments: Any, **named: Any) -> Any:
        if late.backend.calls > 4:
            raise torch.OutOfMemoryError("now")
        return type(late.backend).attend(late.backend, *arguments, **named)

    late.backend.attend = attend
    first, second = measure_at(SHAPE, [late, contender("good")], TERMS)
    assert (first.contender.name, first.failed, second.failed) == ("good", "", "out of memory")


def test_the_fastest_comes_first(contender: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = {"a": 3.0, "b": 1.0, "c": 2.0}
    contenders = [contender(name) for name in taken]
    monkeypatch.setattr(module, "in_turn", lambda functions, *_, **__: [[ms, 9.0, ms] for ms in taken.values()])
    results = measure_at(SHAPE, contenders, TERMS)
    assert [(result.contender.name, result.ms) for result in results] == [("b", 1.0), ("c", 2.0), ("a", 3.0)]


def test_rows_and_table_and_profile(contender: Make) -> None:
    results = measure_at(SHAPE, [contender("good"), contender("full", fails=MemoryError())], TERMS)
    good, full = rows("attention", results, TERMS, device_name="a chip")
    assert (good["name"], good["over_best"], good["failed"]) == ("good", 1.0, "")
    assert (full["name"], full["over_best"], full["training_ms"]) == ("full", None, None)
    assert (good["device"], good["shape"], good["made_of"]["d"]) == ("a chip", str(SHAPE), "1.0")
    json.dumps([good, full], allow_nan=False)
    lines = shown([good, full]).splitlines()
    assert lines[0].startswith("backend  forward ms  forward+backward ms  x best")
    assert lines[2].split() == ["full", "out", "of", "memory"]
    found = profile(results)
    assert found.times["d:good"].training_ms == results[0].training_ms
    assert found.times["d:full"].failed == "out of memory"
    assert found.shape == str(SHAPE)
