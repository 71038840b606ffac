from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from nanoplug.data.packing import Packable, Packer, pieces

BOS = 0


def document(number: int, length: int) -> Packable:
    return Packable((0, number, 0, 0), np.array([BOS, *range(number * 1000 + 1, number * 1000 + length)], np.int32))


def random_documents(seed: int, longest: int) -> Callable[[], Packable]:
    draw = random.Random(seed)
    made: Iterator[Packable] = (document(number, draw.randrange(1, longest)) for number in range(10**6))
    return lambda: next(made)


def row(packer: Packer) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    tokens, segments = np.empty(packer.row_tokens, np.int64), np.empty(packer.row_tokens, np.int32)
    packer.fill(tokens, segments)
    return tokens, segments


def packed_slowly(row_tokens: int, buffered: int, next_document: Callable[[], Packable], rows: int) -> list[list[int]]:
    """The definition, step by step, on a plain list in order of arrival."""
    buffer: list[list[int]] = []
    made = []
    for _ in range(rows):
        made_row: list[int] = []
        while len(made_row) < row_tokens:
            while len(buffer) < buffered:
                buffer.append(next_document().tokens.tolist())
            room = row_tokens - len(made_row)
            fitting = [tokens for tokens in buffer if len(tokens) <= room]
            chosen = max(fitting, key=len) if fitting else min(buffer, key=len)
            del buffer[next(i for i, tokens in enumerate(buffer) if tokens is chosen)]
            made_row += chosen[:room]
        made.append(made_row)
    return made


@pytest.mark.parametrize(("row_tokens", "buffered", "longest"), [(33, 20, 60), (16, 1, 40), (65, 50, 12), (9, 7, 9)])
def test_rows_are_those_of_the_definition(row_tokens: int, buffered: int, longest: int) -> None:
    packer = Packer(row_tokens, buffered, random_documents(3, longest))
    rows = [row(packer)[0].tolist() for _ in range(60)]
    assert rows == packed_slowly(row_tokens, buffered, random_documents(3, longest), 60)


def test_rows_are_full_and_start_with_a_document() -> None:
    packer = Packer(32, 30, random_documents(1, 80))
    for _ in range(50):
        tokens, segments = row(packer)
        assert tokens[0] == BOS
        starts: NDArray[np.bool_] = tokens == BOS
        assert segments.tolist() == (np.cumsum(starts) - 1).tolist()


def test_counts_add_up() -> None:
    taken: list[int] = []
    source = random_documents(2, 50)

    def counted() -> Packable:
        taken.append(0)
        made = source()
        taken[-1] = len(made.tokens)
        return made

    packer = Packer(24, 10, counted)
    for _ in range(40):
        row(packer)
    counts = packer.counts
    waiting = sum(len(packed.tokens) for packed in packer._buffer.values())
    assert counts.rows == 40
    assert counts.tokens == counts.places == 40 * 24
    assert counts.padding_share == 0.0
    assert counts.documents == len(taken) - len(packer.buffered())
    assert counts.tokens + counts.cropped_tokens + waiting == sum(taken)
    assert 0 < counts.cropped_share < 1
    assert counts.cropped_share == counts.cropped_tokens / (counts.tokens + counts.cropped_tokens)


def test_first_comes_first_among_equals() -> None:
    waiting = [document(number, 4) for number in range(6)]
    packer = Packer(6, 3, lambda: waiting.pop(0))
    tokens, _ = row(packer)
    assert tokens.tolist() == [0, 1, 2, 3, 0, 1001]
    assert packer.buffered() == [(0, 2, 0, 0), (0, 3, 0, 0)]


def test_an_added_buffer_goes_on_as_the_first_would() -> None:
    made: dict[tuple[int, int, int, int], Packable] = {}
    source = random_documents(9, 40)

    def remembered() -> Packable:
        new = source()
        made[new.ref] = new
        return new

    first = Packer(30, 15, remembered)
    for _ in range(7):
        row(first)
    second = Packer(30, 15, remembered)
    for ref in first.buffered():
        second.add(made[ref])
    ahead = [document(number, 5 + number % 20) for number in range(10_000, 10_100)]
    first.next_document = iter(ahead).__next__
    second.next_document = iter(ahead).__next__
    for _ in range(10):
        assert row(first)[0].tolist() == row(second)[0].tolist()


@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 15, 16, 50])
def test_pieces_hold_every_token_once_behind_bos(length: int) -> None:
    tokens = document(1, length).tokens
    parts = pieces(tokens, 8)
    assert all(part[0] == BOS and len(part) <= 8 for part in parts)
    assert [token for part in parts for token in part[1:]] == tokens[1:].tolist()
    assert all(len(part) == 8 for part in parts[:-1])
