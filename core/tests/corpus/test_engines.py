from __future__ import annotations

import math
import os
from typing import Any

import pytest

from nanoplug.corpus.engines import LocalEngine, RayEngine
from nanoplug.errors import ConfigError, NanoplugError

CRASH = "__import__('os')._exit(7)"


def failed(job: Any, cause: str) -> Any:
    return f"{job}: {cause}"


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_jobs(workers: int) -> None:
    jobs = [f"__import__('time').sleep({0.3 if number == 0 else 0}) or {number}" for number in range(12)]
    assert list(LocalEngine(workers).map(eval, jobs, failed)) == list(range(12))


def test_a_process_that_dies_costs_its_job_alone() -> None:
    jobs = ["1", CRASH, "3", "4", CRASH, "6"]
    cause = "its process died: it crashed, or ran out of memory"
    assert list(LocalEngine(2).map(eval, jobs, failed)) == [1, failed(CRASH, cause), 3, 4, failed(CRASH, cause), 6]


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_reach_the_caller(workers: int) -> None:
    with pytest.raises(ValueError):
        list(LocalEngine(workers).map(math.sqrt, [4.0, -1.0], failed))


@pytest.mark.slow
def test_a_local_ray_cluster() -> None:
    ray = pytest.importorskip("ray")
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)

    def work(job: int) -> int:
        if job == 3:
            os._exit(7)
        if job > 5:
            raise ValueError("as it is")
        return job * job

    try:
        engine = RayEngine("not used", cores=1)
        found = list(engine.map(work, range(6), failed))
        assert [found[number] for number in (0, 1, 2, 4, 5)] == [0, 1, 4, 16, 25]
        assert found[3].startswith("3: its Ray task was lost: ")
        with pytest.raises(ValueError, match="as it is"):
            list(engine.map(work, [6], failed))
        with pytest.raises(ConfigError, match="has no 3 CPUs"):
            list(RayEngine("not used", cores=3).map(work, [1], failed))
        assert ray.is_initialized()
    finally:
        ray.shutdown()


def test_ray_that_cannot_be_reached_or_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")

    def run(address: str) -> list[Any]:
        return list(RayEngine(address, cores=1).map(len, [""], failed))

    with pytest.raises(NanoplugError, match="no Ray cluster answers at no-such-scheme://here"):
        run("no-such-scheme://here")
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(NanoplugError, match="Ray, which is not installed"):
        run("local")
