"""Where projects are worked on: in this process, in several, or on a Ray cluster. Results come in the order of jobs."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol, TypeVar

from attrs import frozen

from nanoplug.errors import ConfigError, NanoplugError

Job = TypeVar("Job")
Result = TypeVar("Result")
_AHEAD = 4


class Engine(Protocol):
    """work: a function of a module; it and jobs can be pickled. failed: the result of a job whose process died.

    What `work` raises is raised to the caller.
    """

    def map(
        self, work: Callable[[Job], Result], jobs: Sequence[Job], failed: Callable[[Job, str], Result]
    ) -> Iterator[Result]: ...


@frozen
class LocalEngine:
    """One job after the other in this process, or several in as many processes."""

    workers: int

    def map(
        self, work: Callable[[Job], Result], jobs: Sequence[Job], failed: Callable[[Job, str], Result]
    ) -> Iterator[Result]:
        if min(self.workers, len(jobs)) <= 1:
            yield from map(work, jobs)
            return
        pool = self._pool(self.workers)
        waiting = deque(jobs)
        running: deque[tuple[Job, Future[Result]]] = deque()
        try:
            while waiting or running:
                try:
                    while waiting and len(running) < _AHEAD * self.workers:
                        running.append((waiting[0], pool.submit(work, waiting[0])))
                        waiting.popleft()
                    result = running[0][1].result()
                except BrokenProcessPool:
                    # A process died, and all that was running with it: it is not known whose. What is not done is done
                    # again, each in a process of its own.
                    pool.shutdown()
                    pool = self._pool(self.workers)
                    while running:
                        job, future = running.popleft()
                        yield future.result() if _succeeded(future) else self._alone(work, job, failed)
                else:
                    running.popleft()
                    yield result
        finally:
            pool.shutdown(cancel_futures=True)

    def _alone(self, work: Callable[[Job], Result], job: Job, failed: Callable[[Job, str], Result]) -> Result:
        with self._pool(1) as pool:
            try:
                return pool.submit(work, job).result()
            except BrokenProcessPool:
                return failed(job, "its process died: it crashed, or ran out of memory")

    def _pool(self, workers: int) -> ProcessPoolExecutor:
        # Not forked: the caller may draw a progress bar in a thread.
        return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


@frozen
class RayEngine:
    """Jobs as tasks of a Ray cluster, `cores` each. address: of the cluster, or `local` to start one on this machine.

    A cluster that this process is connected to already is used. Projects must be at the same paths on every node, and
    nanoplug installed there.
    """

    address: str
    cores: int

    def map(
        self, work: Callable[[Job], Result], jobs: Sequence[Job], failed: Callable[[Job, str], Result]
    ) -> Iterator[Result]:
        ray = _import_ray()
        connects = not ray.is_initialized()
        if connects:
            self._connect(ray)
        try:
            slots = int(ray.cluster_resources().get("CPU", 0)) // self.cores
            if slots < 1:
                raise ConfigError(
                    f"the Ray cluster has no {self.cores} CPUs for one project.", todo="Give fewer --parse-workers."
                )
            task = ray.remote(num_cpus=self.cores, max_retries=0)(work)
            waiting = deque(jobs)
            running: deque[tuple[Job, Any]] = deque()
            while waiting or running:
                while waiting and len(running) < _AHEAD * slots:
                    job = waiting.popleft()
                    running.append((job, task.remote(job)))
                job, reference = running.popleft()
                try:
                    result: Result = ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    raise error.as_instanceof_cause() from None
                except ray.exceptions.RayError as error:
                    result = failed(job, f"its Ray task was lost: {str(error).splitlines()[0]}")
                yield result
        finally:
            if connects:
                ray.shutdown()

    def _connect(self, ray: Any) -> None:
        try:
            if self.address == "local":
                # Ray reports its use to its makers unless told otherwise.
                os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
                ray.init(address="local", num_cpus=usable_cores(), include_dashboard=False, log_to_driver=False)
            else:
                ray.init(address=self.address, log_to_driver=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise NanoplugError(
                f"no Ray cluster answers at {self.address}: {error}.",
                todo="Start one with `ray start --head`, or leave out --ray-address for one on this machine.",
            ) from error


def _succeeded(future: Future[Any]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _import_ray() -> Any:
    try:
        import ray
    except ModuleNotFoundError as error:
        raise NanoplugError(
            "the engine ray needs Ray, which is not installed.", todo="pip install 'nanoplug[ray]'"
        ) from error
    return ray
