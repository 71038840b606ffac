from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from nanoplug.inference.completion import complete_text


class Scripted:
    """An engine that emits given bytes for each row; None is a stop token, and pads follow it."""

    def __init__(self, tokenizer: Any, rows: list[list[int | None]]) -> None:
        self.tokenizer = tokenizer
        self.rows = rows
        self.steps = 0

    def encode_prompt(self, text: str) -> list[int]:
        return [256, *self.tokenizer.encode(text)]

    def generate(self, prompt: list[int], *, num_samples: int, **_: Any) -> Iterator[tuple[list[int], list[int]]]:
        assert num_samples == len(self.rows)
        for step in range(max(map(len, self.rows))):
            self.steps += 1
            tokens = [row[step] if step < len(row) else None for row in self.rows]
            yield (
                [256 if token is None else token for token in tokens],
                [int(step < len(row)) for row in self.rows],
            )


def complete(tokenizer: Any, rows: list[list[int | None]], **options: Any) -> tuple[list[str], int]:
    engine = Scripted(tokenizer, rows)
    return complete_text(engine, "p", num_samples=len(rows), **options), engine.steps  # type: ignore[arg-type]


def test_rows_end_apart_and_half_characters_are_closed_at_the_end(tokenizer: Any) -> None:
    rows: list[list[int | None]] = [[*b"abc"], [*b"x", None], [*"é".encode(), 0xE2]]
    assert complete(tokenizer, rows) == (["abc", "x", "é\ufffd"], 3)


def test_generation_stops_once_every_row_is_whole(tokenizer: Any) -> None:
    rows: list[list[int | None]] = [[*b"a;bcdef"], [*b"abc;def"]]
    assert complete(tokenizer, rows, is_whole=lambda text: text.endswith(";")) == (["a;", "abc;"], 4)


def test_a_row_that_never_gets_whole_runs_to_its_end(tokenizer: Any) -> None:
    rows: list[list[int | None]] = [[*b"a;b"], [*b"abcde"]]
    assert complete(tokenizer, rows, is_whole=lambda text: text.endswith(";")) == (["a;", "abcde"], 5)


def test_text_is_told_as_it_comes(tokenizer: Any) -> None:
    told: list[tuple[int, str]] = []
    complete(tokenizer, [[*"aé".encode(), None]], on_text=lambda row, new: told.append((row, new)))
    assert told == [(0, "a"), (0, "é")]


@pytest.mark.parametrize("number", [1, 3])
def test_with_the_engine(make_engine: Any, number: int) -> None:
    engine = make_engine()
    texts = complete_text(engine, "ab", num_samples=number, max_tokens=6, seed=5)
    sequences, _ = engine.generate_batch([engine.encode_prompt("ab")] * number, max_tokens=6, seed=5)
    assert texts == [bytes(sequence[3:]).decode(errors="replace") for sequence in sequences]
