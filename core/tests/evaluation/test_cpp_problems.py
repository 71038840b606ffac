from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from nanoplug.errors import DataError
from nanoplug.evaluation.cpp_problems import UNRATED, Problem, load_problems

ROW = {"name": "a", "prompt": "int f() {", "test": "int main() {}", "difficulty": "easy"}


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_our_own_problems() -> None:
    problems = load_problems()
    assert Counter(problem.difficulty for problem in problems) == {"easy": 7, "medium": 6, "hard": 4}
    assert all(problem.solution and "main" in problem.test for problem in problems)


def test_both_forms_plain_or_compressed(tmp_path: Path) -> None:
    foreign = {"task_id": "CPP/0", "prompt": "p", "test": "t", "canonical_solution": "s", "declaration": "d"}
    path = write(tmp_path / "problems.jsonl", ROW, foreign)
    expected = (
        Problem(name="a", prompt="int f() {", test="int main() {}", difficulty="easy"),
        Problem(name="CPP/0", prompt="p", test="t", difficulty=UNRATED, solution="s"),
    )
    assert load_problems(path) == expected
    packed = tmp_path / "problems.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert load_problems(packed) == expected


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "no problem"),
        ([ROW, ROW], "one name: a"),
        ([ROW, {**ROW, "name": 3}], r"line 2: 'name' is int"),
        ([{key: value for key, value in ROW.items() if key != "test"}], "line 1: no 'test'"),
        ([[1]], "expected a JSON object"),
        ([{"task_id": "x", "prompt": "p"}], "no 'test'"),
    ],
)
def test_rows_of_another_form_are_refused(tmp_path: Path, rows: list[Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        load_problems(write(tmp_path / "problems.jsonl", *rows))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file of C"):
        load_problems(tmp_path / "missing.jsonl")
    for name, content in (("a.jsonl", b"\xff\xfe{"), ("b.jsonl.gz", b"not gzip"), ("c.jsonl", b'{"name": ')):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(DataError):
            load_problems(path)
    cut_short = tmp_path / "d.jsonl.gz"
    cut_short.write_bytes(gzip.compress(json.dumps(ROW).encode() * 50)[:-9])
    with pytest.raises(DataError, match="cannot be read"):
        load_problems(cut_short)
