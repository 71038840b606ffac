from __future__ import annotations

import json
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import evolve

from nanoplug.errors import ContractError, DataError
from nanoplug.evaluation.cpp_evaluation import evaluate_cpp, pass_at_k, verify_references
from nanoplug.evaluation.cpp_problems import Problem, load_problems
from nanoplug.evaluation.judge import Judge, Verdict
from nanoplug.evaluation.sandbox import SandboxError


class NoCompiler:
    """Judges by the completion's own words."""

    sandbox = SimpleNamespace(isolated=True)

    def judge(self, problem: Problem, completion: str) -> Verdict:
        if completion == "no sandbox":
            raise SandboxError("gone")
        return Verdict(compiled=completion != "broken", passed=completion == "right", cause=completion)


def problem(name: str, difficulty: str) -> Problem:
    return Problem(name=name, prompt="int f() {", test="", difficulty=difficulty)


def evaluate(answers: dict[str, list[str]], **options: Any) -> Any:
    problems = [problem(name, name.rstrip("0123456789")) for name in answers]
    judge: Any = NoCompiler()
    return evaluate_cpp(problems, lambda problem: answers[problem.name], judge, **options)


@pytest.mark.parametrize(("n", "c", "k"), [(5, 2, 1), (5, 2, 3), (6, 0, 2), (6, 6, 2), (4, 1, 4), (10, 3, 10)])
def test_pass_at_k_is_the_share_of_k_subsets_with_a_pass(n: int, c: int, k: int) -> None:
    subsets = list(combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_rates_causes_and_difficulties() -> None:
    report = evaluate({"easy1": ["right"], "easy2": ["broken"], "hard1": ["wrong"], "hard2": ["broken"]})
    assert (report.pass_rate, report.compile_rate) == (0.25, 0.5)
    assert report.by_difficulty == {
        "easy": {"compile": 0.5, "pass": 0.5, "n": 2},
        "hard": {"compile": 0.5, "pass": 0.0, "n": 2},
    }
    assert report.causes == {"broken": 2, "right": 1, "wrong": 1}
    assert report.pass_at == {1: 0.25}
    assert report.isolated
    plain = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert plain["cpp_metric"] == plain["cpp_pass_rate"] == 0.25
    assert plain["cpp_compile_rate"] == 0.5
    assert plain["problems"][0]["name"] == "easy1"


def test_several_samples() -> None:
    answers = {"easy1": ["right"] * 3 + ["wrong"] * 7, "easy2": ["broken"] * 10}
    report = evaluate(answers, samples=10)
    assert report.pass_rate == 0.15
    assert report.pass_at == {1: pytest.approx(0.15), 10: 0.5}


def test_a_problem_without_completion_counts_as_failed() -> None:
    def complete(problem: Problem) -> list[str]:
        if problem.name == "a":
            raise ContractError("the prompt is too long")
        return ["right", "right"]

    judge: Any = NoCompiler()
    report = evaluate_cpp([problem("a", "easy"), problem("b", "easy")], complete, judge, samples=2)
    assert report.pass_rate == 0.5
    assert report.causes == {"no completion: the prompt is too long": 2, "right": 2}


def test_a_sandbox_that_fails_ends_the_evaluation() -> None:
    with pytest.raises(SandboxError):
        evaluate({"easy1": ["no sandbox"]})


def test_nothing_to_evaluate_is_an_error() -> None:
    with pytest.raises(DataError, match="no C"):
        evaluate({})


def test_our_reference_solutions_pass_and_broken_ones_do_not(judge: Judge) -> None:
    problems = load_problems()
    report = verify_references(problems, judge)
    assert report.causes == {"passed": len(problems)}
    # A test that any body passes would be worthless: nothing, and a value of the right type, must both fail.
    hollow = [evolve(each, solution="};" if "class " in each.prompt else "  return {};\n}") for each in problems]
    assert verify_references(hollow, judge).pass_rate == 0


def test_verification_needs_solutions() -> None:
    judge: Any = NoCompiler()
    with pytest.raises(DataError, match="no reference solution for b"):
        verify_references([evolve(problem("a", "easy"), solution=""), problem("b", "easy")], judge)
