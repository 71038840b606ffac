from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from nanoplug.corpus.call_graph import levels


def test_leaves_and_callers() -> None:
    assert levels({"leaf": [], "middle": ["leaf"], "top": ["middle", "leaf"]}) == {"leaf": 0, "middle": 1, "top": 2}


def test_a_cycle_counts_as_one() -> None:
    found = levels({"leaf": [], "a": ["b"], "b": ["c"], "c": ["a", "leaf"], "caller": ["a"]})
    assert found == {"leaf": 0, "a": 1, "b": 1, "c": 1, "caller": 2}


def test_recursion_does_not_raise_a_level() -> None:
    assert levels({"a": ["a"], "b": ["b", "a"]}) == {"a": 0, "b": 1}


def test_what_is_unknown_does_not_count() -> None:
    assert levels({"a": ["printf"]}) == {"a": 0}


def test_a_long_chain() -> None:
    edges = {number: [number + 1] for number in range(20_000)}
    assert levels({**edges, 20_000: []})[0] == 20_000  # type: ignore[dict-item, arg-type]


@given(st.dictionaries(st.integers(0, 9), st.lists(st.integers(0, 9), max_size=4), max_size=10), st.randoms())
def test_callers_are_above_what_they_call_unless_it_calls_them(
    edges: dict[int, list[int]], shuffle: random.Random
) -> None:
    named = {str(key): [str(other) for other in others] for key, others in edges.items()}

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        todo = [start]
        while todo:
            for other in named.get(todo.pop(), []):
                if other in named and other not in seen:
                    seen.add(other)
                    todo.append(other)
        return seen

    found = levels(named)
    for key in named:
        below = [other for other in reached(key) if key not in reached(other) and other != key]
        together = [other for other in reached(key) if key in reached(other)]
        assert all(found[other] < found[key] for other in below)
        assert all(found[other] == found[key] for other in together)
        assert found[key] or not below
    items = list(named.items())
    shuffle.shuffle(items)
    assert levels(dict(items)) == found
