from __future__ import annotations

from typing import Any

import pytest

from nanoplug.corpus.fim_pairs import clean_comment, fim_pairs
from nanoplug.corpus.project_documents import Screened
from nanoplug.data.fim_pairs import Pair


@pytest.mark.parametrize(
    ("comment", "words"),
    [
        ("// Adds.\n", "Adds."),
        ("/// Adds two.\n///   indented\n", "Adds two.\n  indented"),
        ("//! Adds.\n", "Adds."),
        ("/* Adds. */\n", "Adds."),
        ("/** Adds. **/\n", "Adds."),
        ("/**\n * Adds.\n *\n * Twice: a * b.\n */\n", "Adds.\n\nTwice: a * b."),
        ("/*\n   Adds.\n     More.\n*/\n", "Adds.\n  More."),
        ("  // One.\n  // Two.\n", "One.\nTwo."),
        ("// größer\n", "größer"),
        ("//\n//\n", ""),
        ("// use /* and */ with care\n", "use /* and */ with care"),
    ],
)
def test_comments(comment: str, words: str) -> None:
    assert clean_comment(comment) == words


def add(hand: Any, usr: str, text: str, comment: str = "// Words.\n", **more: Any) -> None:
    hand.file(f"{usr}.cc", f"int before;\n{comment}{text}\n")
    hand.define(f"{usr}.cc", text, usr, comment=comment, **more)


def test_signature_and_body(hand: Any) -> None:
    add(hand, "a", "template <class T>\nint add(T x)\n{\n  // größer\n  return x;\n}")
    add(hand, "b", "int size() const { return size_; }")
    add(hand, "c", "Box::Box(int x) : x_{x}\n{ go(); }")
    hand.file(
        "d.h",
        "struct S {\n    // Words.\n    int get(\n        int x) {\n        if (x)\n            go();\n    }\n};\n",
    )
    text = "int get(\n        int x) {\n        if (x)\n            go();\n    }"
    hand.define("d.h", text, "d", kind="method", comment="// Words.\n    ")
    from attrs import evolve

    at = hand.data["c.cc"].index(b"{ go")
    hand.definitions[2] = evolve(hand.definitions[2], body=(at, hand.definitions[2].end))
    assert fim_pairs(hand.index(), hand.root).pairs == (
        Pair("Words.", "template <class T>\nint add(T x)", "  // größer\n  return x;"),
        Pair("Words.", "int size() const", "return size_;"),
        Pair("Words.", "Box::Box(int x) : x_{x}", "go();"),
        Pair("Words.", "int get(\n    int x)", "    if (x)\n        go();"),
    )


def test_what_gives_no_pair(hand: Any) -> None:
    add(hand, "plain", "int f() { return 1; }", comment="")
    add(hand, "empty", "int f() { }")
    add(hand, "default", "S::S() = default;")
    add(hand, "ends", "int f() { return 1; }", comment="// ends */ here\n")
    add(hand, "type", "struct T { int x; };", kind="struct")
    add(hand, "blank", "int f() { return 1; }", comment="//\n")
    add(hand, "gpl", "int f() { return 1; }")
    add(hand, "val", "int f() { return 1; }")
    found = fim_pairs(hand.index(), hand.root, Screened({"gpl.cc": "licence GPL"}), frozenset({"val.cc"}))
    assert found.pairs == ()
    assert found.skipped == {"comment holds */": 1, "licence GPL": 1, "no body": 2, "no comment": 2}
