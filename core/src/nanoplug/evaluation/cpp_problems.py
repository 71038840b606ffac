"""C++ problems: a prompt that opens a function, and a test program that says whether its body is right."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from nanoplug.errors import DataError, nearest

SHIPPED = Path(__file__).with_name("problems.jsonl")
UNRATED = "unrated"


@frozen(kw_only=True)
class Problem:
    """prompt + completion + test is a whole program that exits with 0 if and only if the completion is right.

    solution: a completion known to be right, or None.
    """

    name: str
    prompt: str
    test: str
    difficulty: str = UNRATED
    solution: str | None = None


def load_problems(path: Path = SHIPPED) -> tuple[Problem, ...]:
    """Read problems from JSON lines, gzip-compressed if the name ends in `.gz`.

    Two forms of line are known: `{name, prompt, test, difficulty, solution?}`, and that of HumanEval-X for C++
    (Zheng et al. 2023, arXiv:2303.17568), `{task_id, prompt, test, canonical_solution, ...}`.
    Raises DataError, naming the line, if the file is missing, unreadable, empty or not of that form.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        lines = content.decode("utf-8").splitlines()
    except FileNotFoundError:
        raise DataError(f"no file of C++ problems at {path}.", todo="Give --problems a JSON lines file.") from None
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"C++ problems in {path} cannot be read: {error}.", todo="Give a JSON lines file.") from None
    problems = tuple(
        _problem(line, f"{path.name}, line {number}") for number, line in enumerate(lines, 1) if line.strip()
    )
    if not problems:
        raise DataError(f"{path} holds no problem.")
    names = [problem.name for problem in problems]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{path} has several problems of one name: {', '.join(repeated)}.")
    return problems


def _problem(line: str, where: str) -> Problem:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not JSON: {error}.") from None
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected a JSON object, got {type(row).__name__}.")
    if "task_id" in row:
        return Problem(
            name=_text(row, "task_id", where),
            prompt=_text(row, "prompt", where),
            test=_text(row, "test", where),
            solution=_text(row, "canonical_solution", where) if "canonical_solution" in row else None,
        )
    return Problem(
        name=_text(row, "name", where),
        prompt=_text(row, "prompt", where),
        test=_text(row, "test", where),
        difficulty=_text(row, "difficulty", where),
        solution=_text(row, "solution", where) if "solution" in row else None,
    )


def _text(row: Mapping[str, Any], key: str, where: str) -> str:
    if key not in row:
        raise DataError(f"{where}: no {key!r} in {', '.join(row) or 'an empty object'}{nearest(key, row)}.")
    value = row[key]
    if not isinstance(value, str):
        raise DataError(f"{where}: {key!r} is {type(value).__name__}; it must be a string.")
    return value
