from __future__ import annotations

from typing import Any

import pytest
import torch

from nanoplug.conformance.tokenizer_reference import ReferenceTokenizer
from nanoplug.data.cpp_check import cpp_rows, warned_of_no_cpp
from nanoplug.data.loader import Batch
from nanoplug.data.packing import PackingCounts

PROSE = "Nothing here to compile; at most; two of those."


def rows(tokenizer: ReferenceTokenizer, texts: list[str]) -> torch.Tensor:
    ids = [[*tokenizer.encode(text), *[32] * 900][:900] for text in texts]
    return torch.tensor(ids)


def batch(tokenizer: ReferenceTokenizer, texts: list[str]) -> Batch:
    ids_BT = rows(tokenizer, texts)
    return Batch(ids_BT, ids_BT, None, None, 0, PackingCounts())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("#include <vector>", 1),
        ("std::sort(a, b)", 1),
        ("a; b; c;", 1),
        (PROSE, 0),
        (" " * 512 + "std::sort(a, b); x; y;", 0),
    ],
)
def test_what_looks_like_cpp(tokenizer: ReferenceTokenizer, text: str, found: int) -> None:
    assert cpp_rows(rows(ReferenceTokenizer(), [PROSE, text]), ReferenceTokenizer()) == (found, 2)


def test_the_first_four_rows_are_looked_at() -> None:
    tokenizer = ReferenceTokenizer()
    assert cpp_rows(rows(tokenizer, [PROSE] * 4 + ["a::b"]), tokenizer) == (0, 4)
    assert cpp_rows(rows(tokenizer, [PROSE] * 3 + ["a::b"] * 2), tokenizer) == (1, 4)


def test_only_a_first_batch_without_cpp_is_told_of() -> None:
    tokenizer = ReferenceTokenizer()
    prose, cpp = batch(tokenizer, [PROSE]), batch(tokenizer, ["a::b"])
    for batches, lines in (([prose, cpp], 1), ([cpp, prose], 0), ([], 0)):
        heard: list[str] = []
        given: list[Any] = list(warned_of_no_cpp(iter(batches), tokenizer, heard.append))
        assert given == batches
        assert len(heard) == lines
    heard = []
    next(warned_of_no_cpp(iter([prose]), tokenizer, heard.append))
    assert "none of the first 1 training row(s) looks like C++" in heard[0]
