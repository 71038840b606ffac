from __future__ import annotations

from collections.abc import Sequence

import pytest

from nanoplug.corpus.document_text import Part
from nanoplug.corpus.fitted_text import FittedText, fit_text


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def part(text: str) -> Part:
    return Part((), text)


DEPENDENCIES = [part("one " * 3), part("two " * 5), part("three " * 2)]
ROOT = part("root a b c")


def fitted(budget: int, *, preamble: Sequence[Part] = (), root: Part = ROOT, cut: bool = True) -> FittedText | None:
    return fit_text(
        DEPENDENCIES,
        words([each.text for each in DEPENDENCIES]),
        root,
        preamble=lambda kept: preamble,
        budget=budget,
        count=words,
        cut=cut,
    )


@pytest.mark.parametrize(
    ("budget", "kept", "tokens"), [(14, 3, 14), (13, 2, 12), (12, 2, 12), (11, 1, 7), (7, 1, 7), (6, 0, 4), (4, 0, 4)]
)
def test_the_last_dependencies_are_dropped_and_no_more(budget: int, kept: int, tokens: int) -> None:
    found = fitted(budget)
    assert found is not None
    assert (found.kept, found.tokens, found.was_cut) == (kept, tokens, False)
    assert words([found.text]) == [tokens]
    assert found.text[slice(*found.root)] == "root a b c"


def test_sizes_that_mislead_change_nothing() -> None:
    for sizes in ([0, 0, 0], [100, 100, 100], [1, 1, 1]):
        found = fit_text(DEPENDENCIES, sizes, ROOT, preamble=lambda kept: (), budget=12, count=words, cut=True)
        assert found is not None
        assert found.kept == 2


def test_then_the_preamble_goes_from_its_end() -> None:
    preamble = [part("#include x"), part("using y z")]
    for budget, text in ((9, "#include x\n\nusing y z\n\n"), (8, "#include x\n\n"), (5, "")):
        found = fitted(budget, preamble=preamble)
        assert found is not None
        assert found.text == f"{text}root a b c\n"


def test_a_root_that_is_too_long_is_cut_between_lines() -> None:
    root = Part(("space",), "f() {\n  one two\n  three\n}")
    found = fitted(5, root=root)
    assert found is not None
    assert (found.text, found.tokens, found.was_cut) == ("f() {\n  one two\n  three\n", 5, True)
    assert fitted(5, root=root, cut=False) is None
    assert fitted(1, root=root) is None
