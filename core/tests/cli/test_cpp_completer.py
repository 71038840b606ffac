from __future__ import annotations

from typing import Any

import pytest

from nanoplug.cli import cpp_completer as module
from nanoplug.cli.cpp_completer import cpp_completer
from nanoplug.evaluation.cpp_problems import Problem

PROBLEM = Problem(name="p", prompt="int f() {", test="")


@pytest.mark.parametrize(("samples", "temperature"), [(1, 0.0), (4, 0.8)])
def test_one_sample_is_greedy_and_the_end_is_known(
    monkeypatch: pytest.MonkeyPatch, samples: int, temperature: float
) -> None:
    asked: dict[str, Any] = {}

    def complete_text(engine: Any, prompt: str, **options: Any) -> list[str]:
        asked.update(options, prompt=prompt)
        return ["}"] * options["num_samples"]

    monkeypatch.setattr(module, "complete_text", complete_text)
    engine: Any = None
    assert cpp_completer(engine, samples=samples)(PROBLEM) == ["}"] * samples
    assert (asked["prompt"], asked["temperature"], asked["max_tokens"]) == (PROBLEM.prompt, temperature, 512)
    assert asked["is_whole"](" }\nint")
    assert not asked["is_whole"](" {}\nint")
