from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nanoplug.data.fim_pairs import Pair, Pairs, read_pairs
from nanoplug.errors import DataError


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def lines(*given: Any) -> Path:
        path = tmp_path / "pairs.jsonl"
        path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in given), "utf-8")
        return path

    return lines


def test_the_parts_of_a_pair() -> None:
    pair = Pair("Adds one.", "int next(int x)", "    return x + 1;")
    assert (pair.prefix, pair.middle, pair.suffix) == (
        "/** Adds one. */\nint next(int x) {",
        "\n    return x + 1;\n",
        "\n}",
    )
    assert Pair("Adds\n\n漢字.", "int f()", "").prefix == "/**\n * Adds\n *\n * 漢字.\n */\nint f() {"


def test_what_is_missing_is_empty_and_comment_ends_are_left_out(write: Any) -> None:
    path = write(
        {"docstring": "a", "signature": "int f()", "body": "x;", "path": "a.h"},
        "",
        {"signature": "int g()"},
        {"docstring": "b */ c", "signature": "int h()", "body": "y;"},
        {},
        "",
    )
    pairs = read_pairs(path)
    assert pairs.pairs == (Pair("a", "int f()", "x;"), Pair("", "int g()", ""), Pair("", "", ""))
    assert pairs.comment_ends == 1
    assert pairs.source == str(path)


def test_the_digest_is_that_of_the_pairs_in_order() -> None:
    one, other = Pair("a", "b", "c"), Pair("a", "bc", "")
    digests = [Pairs("x", pairs).digest for pairs in ((one,), (other,), (one, other), (other, one), (one, one))]
    assert len({*digests}) == 5
    assert Pairs("y", (one,), comment_ends=4).digest == digests[0]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2 is no JSON: "),
        ("[1]", "line 2 is no JSON object"),
        ('{"body": 3}', "line 2: body is 3; it must be text"),
        ('{"docstring": "\\ud800"}', "line 2: docstring holds half a surrogate pair"),
    ],
)
def test_a_line_that_is_no_pair(line: str, says: str, write: Any) -> None:
    with pytest.raises(DataError) as caught:
        read_pairs(write({"body": "x"}, line))
    assert f"pairs.jsonl: {says}" in str(caught.value)
    assert "one JSON object a line" in str(caught.value)


def test_no_pairs(write: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing\.jsonl cannot be read"):
        read_pairs(tmp_path / "missing.jsonl")
    with pytest.raises(DataError, match=r"pairs\.jsonl has no docstring pair to learn from; 1 hold"):
        read_pairs(write({"docstring": "*/"}))
    with pytest.raises(DataError, match=r"pairs\.jsonl has no docstring pair"):
        read_pairs(write(""))
    (tmp_path / "binary").write_bytes(b"\xff\n")
    with pytest.raises(DataError, match="cannot be read"):
        read_pairs(tmp_path / "binary")
