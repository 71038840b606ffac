"""Joins a model and the C++ evaluation, which know nothing of each other."""

from __future__ import annotations

from functools import partial

from nanoplug.evaluation.cpp_evaluation import Complete
from nanoplug.evaluation.cpp_problems import Problem
from nanoplug.evaluation.cut import is_whole
from nanoplug.inference.completion import complete_text
from nanoplug.inference.engine import Engine


def cpp_completer(
    engine: Engine,
    *,
    samples: int = 1,
    max_tokens: int = 512,
    temperature: float = 0.8,
    top_k: int | None = 50,
    seed: int = 42,
) -> Complete:
    """Completions of a problem by a model: one sample is greedy; of several, sample i is drawn with seed + i.

    Generation stops as soon as every sample has closed the code that its prompt opened.
    """

    def complete(problem: Problem) -> list[str]:
        return complete_text(
            engine,
            problem.prompt,
            num_samples=samples,
            max_tokens=max_tokens,
            temperature=temperature if samples > 1 else 0.0,
            top_k=top_k,
            seed=seed,
            is_whole=partial(is_whole, problem.prompt),
        )

    return complete
