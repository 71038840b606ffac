from __future__ import annotations

import pytest

from nanoplug.corpus.document_text import Part, join_parts


def joined(*parts: tuple[str, str]) -> str:
    """Parts given as ("a b", text) with the names of namespaces, `-` for an anonymous one."""
    scopes = [tuple(name.replace("-", "") for name in scope.split()) for scope, _ in parts]
    made = [Part(scope, text) for scope, (_, text) in zip(scopes, parts, strict=True)]
    text, (start, end) = join_parts(made)
    assert text[start:end] == parts[-1][1]
    return text


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([("", "one")], "one\n"),
        ([("", "one"), ("", "two")], "one\n\ntwo\n"),
        ([("a", "one"), ("a", "two")], "namespace a {\n\none\n\ntwo\n\n}  // namespace a\n"),
        ([("-", "one")], "namespace {\n\none\n\n}  // namespace\n"),
        (
            [("a b", "one"), ("a c", "two"), ("", "three")],
            (
                "namespace a {\nnamespace b {\n\none\n\n}  // namespace b\n\nnamespace c {\n\ntwo\n\n"
                "}  // namespace c\n}  // namespace a\n\nthree\n"
            ),
        ),
        (
            [("", "one"), ("a", "two"), ("a b", "three")],
            "one\n\nnamespace a {\n\ntwo\n\nnamespace b {\n\nthree\n\n}  // namespace b\n}  // namespace a\n",
        ),
    ],
)
def test_namespaces_are_opened_again(parts: list[tuple[str, str]], expected: str) -> None:
    assert joined(*parts) == expected


def test_texts_are_not_touched() -> None:
    text = "\tint f() {\r\n  return 0;  \r\n}"
    assert text in joined(("a", "x"), ("", text), ("b", "y"))
