from __future__ import annotations

from nanoplug.corpus.dependencies import choose_dependencies

CHAIN = {"a": ["b"], "b": ["c"], "c": ["d"], "d": []}


def chosen(
    needs: dict[str, list[str]], roots: list[str], *, depth: int = 5, repeats: int = 0, hidden: str = ""
) -> dict[str, list[str]]:
    limits = dict.fromkeys(needs, repeats) if repeats else None
    return choose_dependencies(
        needs, roots, max_depth=depth, limits=limits, may_show=lambda root, other: other not in hidden
    )


def test_depth() -> None:
    assert chosen(CHAIN, ["a"], depth=2) == {"a": ["b", "c"]}
    assert chosen(CHAIN, ["a"], depth=0) == {"a": []}


def test_breadth_first_in_order_of_appearance() -> None:
    assert chosen({"r": ["x", "y"], "x": ["deep"], "y": ["near", "deep"]}, ["r"]) == {"r": ["x", "y", "deep", "near"]}


def test_cycles_end_and_never_hold_the_root() -> None:
    assert chosen({"a": ["b"], "b": ["a", "c"], "c": ["b", "c"]}, ["a"]) == {"a": ["b", "c"]}


def test_what_is_hidden_leads_nowhere() -> None:
    assert chosen(CHAIN, ["a"], hidden="b") == {"a": []}


def test_repeats_are_spent_on_the_nearest() -> None:
    needs = {"far": ["between"], "between": ["leaf"], "near": ["leaf"], "leaf": []}
    assert chosen(needs, ["far", "near"], repeats=1) == {"far": ["between"], "near": ["leaf"]}
    assert chosen(needs, ["far", "near"], repeats=2) == {"far": ["between", "leaf"], "near": ["leaf"]}


def test_repeats_hold() -> None:
    needs = {"leaf": [], **{f"r{number}": ["leaf"] for number in range(7)}}
    assert sum(bool(units) for units in chosen(needs, list(needs), repeats=3).values()) == 3
