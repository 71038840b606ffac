from __future__ import annotations

import random

import pytest

from nanoplug.contracts import Tokenizer
from nanoplug.data.text_cuts import cut_texts


def cut(tokenizer: Tokenizer, *texts: str, max_tokens: int | None, threads: int = 1) -> list[list[str]]:
    """The parts of each text, after what holds for all of them."""
    cuts = cut_texts(tokenizer, texts, max_tokens=max_tokens, threads=threads)
    assert ["".join(part for part, _ in of_text) for of_text in cuts] == list(texts)
    for of_text in cuts:
        for part, ids in of_text:
            assert list(ids) == tokenizer.encode(part)
            assert max_tokens is None or len(ids) <= max_tokens
    return [[part for part, _ in of_text] for of_text in cuts]


def test_short_texts_stay_whole(fim_tokenizer: Tokenizer) -> None:
    assert cut(fim_tokenizer, "", "12345678", "int return ", max_tokens=8) == [[""], ["12345678"], ["int return "]]
    assert cut(fim_tokenizer, "x" * 100, max_tokens=None) == [["x" * 100]]
    assert cut_texts(fim_tokenizer, [], max_tokens=8, threads=1) == []


def test_parts_end_behind_the_last_line_end_that_fits(fim_tokenizer: Tokenizer) -> None:
    text = "a;\nbb;\nccc;\nddddddddd;\r\ne;"
    assert cut(fim_tokenizer, text, max_tokens=12) == [["a;\nbb;\nccc;\n", "ddddddddd;\r\n", "e;"]]
    assert cut(fim_tokenizer, text, max_tokens=11) == [["a;\nbb;\n", "ccc;\n", "ddddddddd;\r", "\ne;"]]


def test_a_line_too_long_is_cut_between_characters(fim_tokenizer: Tokenizer) -> None:
    assert cut(fim_tokenizer, "é" * 9 + "🙂" * 3, max_tokens=9) == [["éééé", "éééé", "é🙂", "🙂🙂"]]
    for text in ("é" * 50, "🙂" * 50, "x漢" * 40):
        for max_tokens in (8, 9, 10, 11):
            (parts,) = cut(fim_tokenizer, text, max_tokens=max_tokens)
            assert all(len(fim_tokenizer.encode(part)) > max_tokens - 4 for part in parts[:-1])


def test_text_that_takes_more_tokens_once_it_is_cut(fim_tokenizer: Tokenizer) -> None:
    # A line end and the indentation behind it are one token; cut apart they are two, of which the second part has one.
    (parts,) = cut(fim_tokenizer, "\n    漢字" * 40, max_tokens=8)
    assert len(parts) >= 10


@pytest.mark.parametrize("threads", [1, 2])
def test_any_text_comes_back(threads: int, fim_tokenizer: Tokenizer) -> None:
    draw = random.Random(3)
    pieces = ("int ", "    ", "\n", "\n    ", "漢", "字", "漢字", "é", "🙂", "x", "\r\n", "\x00", "\u0301", "std::")
    texts = ["".join(draw.choices(pieces, k=draw.randrange(200))) for _ in range(200)]
    for max_tokens in (8, 13, 40):
        cut(fim_tokenizer, *texts, max_tokens=max_tokens, threads=threads)
