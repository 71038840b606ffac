from __future__ import annotations

import pytest
from attrs import evolve

from nanoplug.errors import NanoplugError
from nanoplug.evaluation import judge as judge_module
from nanoplug.evaluation.cpp_problems import Problem
from nanoplug.evaluation.judge import Judge
from nanoplug.evaluation.sandbox import Limits

PROBLEM = Problem(
    name="twice",
    prompt="#include <csignal>\nint twice(int x) {\n",
    test="int main() { return twice(3) == 6 ? 0 : 7; }\n",
    difficulty="easy",
)


@pytest.mark.parametrize(
    ("completion", "compiled", "cause"),
    [
        ("  return 2 * x;\n}\n\nint main() { return 1; }", True, "passed"),
        ("  return x;\n}", True, "exit code 7"),
        ("  __builtin_trap();\n}", True, "killed by SIGILL"),
        ("  return raise(40);\n}", True, "killed by signal 40"),
        ("  return y;\n}", False, "compile error"),
        ("  return 2 * x;", False, "compile error"),
        ("", False, "compile error"),
    ],
)
def test_verdicts(judge: Judge, completion: str, compiled: bool, cause: str) -> None:
    verdict = judge.judge(PROBLEM, completion)
    assert (verdict.compiled, verdict.passed, verdict.cause) == (compiled, cause == "passed", cause)
    assert compiled or "error" in verdict.detail


def test_an_endless_program_is_stopped(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge_module, "RUN_LIMITS", Limits(wall_s=0.5))
    verdict = judge.judge(PROBLEM, "  for (volatile int i = 0;;) i = i;\n}")
    assert (verdict.compiled, verdict.passed, verdict.cause) == (True, False, "run time limit")


def test_an_endless_compilation_is_stopped(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge_module, "COMPILE_LIMITS", evolve(judge_module.COMPILE_LIMITS, wall_s=0.01))
    assert judge.judge(PROBLEM, "  return 2 * x;\n}").cause == "compile time limit"


def test_what_the_machine_lacks_is_named(judge: Judge) -> None:
    lacking = evolve(PROBLEM, prompt="#include <no/such_header.h>\n" + PROBLEM.prompt)
    assert judge.judge(lacking, "  return 2 * x;\n}").cause == "missing header no/such_header.h"


def test_a_compiler_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(NanoplugError, match=r"needs g\+\+"):
        Judge()
