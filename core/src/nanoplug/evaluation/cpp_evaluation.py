"""How many C++ problems a source of completions solves."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from attrs import asdict, frozen

from nanoplug.errors import DataError, NanoplugError
from nanoplug.evaluation.cpp_problems import Problem
from nanoplug.evaluation.judge import Judge, Verdict

PASS_AT = (1, 10)

Complete = Callable[[Problem], Sequence[str]]


@frozen(kw_only=True)
class ProblemResult:
    """One problem: how many of its n samples compiled and passed, and what each came to."""

    name: str
    difficulty: str
    n: int
    compiled: int
    passed: int
    causes: tuple[str, ...]


@frozen(kw_only=True)
class CppReport:
    """Rates are over all samples; a problem whose completion failed counts as failed.

    pass_at: pass@k by k, for k up to the samples of a problem. by_difficulty: `{compile, pass, n}`, rates and the
    number of problems. causes: number of samples by what they came to. isolated: whether a sandbox held them.
    """

    pass_rate: float
    compile_rate: float
    pass_at: Mapping[int, float]
    by_difficulty: Mapping[str, Mapping[str, float]]
    causes: Mapping[str, int]
    problems: tuple[ProblemResult, ...]
    samples: int
    isolated: bool
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `cpp_metric` is the one number to compare."""
        rates = {"cpp_metric": self.pass_rate, "cpp_pass_rate": self.pass_rate, "cpp_compile_rate": self.compile_rate}
        rest = asdict(self)
        del rest["pass_rate"], rest["compile_rate"]
        rest["pass_at"] = {str(k): rate for k, rate in self.pass_at.items()}
        return {**rates, **rest}


def pass_at_k(n: int, c: int, k: int) -> float:
    """Unbiased estimate of the chance that one of k samples passes, when c of n did: 1 - C(n-c, k) / C(n, k).

    Chen et al. 2021, arXiv:2107.03374, equation 1.
    """
    if n - c < k:
        return 1.0
    return 1.0 - math.prod((n - c - i) / (n - i) for i in range(k))


def evaluate_cpp(
    problems: Sequence[Problem], complete: Complete, judge: Judge, *, samples: int = 1, workers: int = 2
) -> CppReport:
    """Complete each problem `samples` times and judge every completion.

    complete: gives `samples` completions of a problem; a NanoplugError from it makes all of them failures.
    workers: completions judged at once; each may keep one CPU core busy.
    """
    if not problems:
        raise DataError("no C++ problems to evaluate.")
    begun = time.monotonic()
    judged: list[list[Verdict] | list[Future[Verdict]]] = []
    with ThreadPoolExecutor(workers) as pool:
        for problem in problems:
            try:
                completions = complete(problem)
            except NanoplugError as error:
                failed = Verdict(compiled=False, passed=False, cause=f"no completion: {error.message}")
                judged.append([failed] * samples)
            else:
                judged.append([pool.submit(judge.judge, problem, completion) for completion in completions])
        verdicts = [
            [each.result() if isinstance(each, Future) else each for each in of_problem] for of_problem in judged
        ]
    results = tuple(_result(problem, rows) for problem, rows in zip(problems, verdicts, strict=True))
    return CppReport(
        pass_rate=_rate(results, lambda result: result.passed),
        compile_rate=_rate(results, lambda result: result.compiled),
        pass_at={
            k: sum(pass_at_k(result.n, result.passed, k) for result in results) / len(results)
            for k in PASS_AT
            if k <= samples
        },
        by_difficulty=_by_difficulty(results),
        causes=dict(Counter(verdict.cause for rows in verdicts for verdict in rows).most_common()),
        problems=results,
        samples=samples,
        isolated=judge.sandbox.isolated,
        seconds=time.monotonic() - begun,
    )


def verify_references(problems: Sequence[Problem], judge: Judge, *, workers: int = 2) -> CppReport:
    """Judge the solution of every problem, which must pass: proof of the problems and of this machine.

    Raises DataError if a problem has no solution.
    """
    if missing := [problem.name for problem in problems if problem.solution is None]:
        raise DataError(f"no reference solution for {', '.join(missing)}.")
    return evaluate_cpp(problems, lambda problem: [problem.solution or ""], judge, workers=workers)


def _result(problem: Problem, verdicts: Sequence[Verdict]) -> ProblemResult:
    return ProblemResult(
        name=problem.name,
        difficulty=problem.difficulty,
        n=len(verdicts),
        compiled=sum(verdict.compiled for verdict in verdicts),
        passed=sum(verdict.passed for verdict in verdicts),
        causes=tuple(verdict.cause for verdict in verdicts),
    )


def _rate(results: Iterable[ProblemResult], count: Callable[[ProblemResult], int]) -> float:
    results = list(results)
    return sum(map(count, results)) / sum(result.n for result in results)


def _by_difficulty(results: Sequence[ProblemResult]) -> dict[str, dict[str, float]]:
    groups: dict[str, list[ProblemResult]] = {}
    for result in results:
        groups.setdefault(result.difficulty, []).append(result)
    return {
        name: {
            "compile": _rate(group, lambda result: result.compiled),
            "pass": _rate(group, lambda result: result.passed),
            "n": len(group),
        }
        for name, group in groups.items()
    }
