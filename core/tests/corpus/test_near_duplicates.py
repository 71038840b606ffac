from __future__ import annotations

import pytest

from nanoplug.corpus.near_duplicates import NearDuplicates, signature_of
from nanoplug.errors import ConfigError


def function(name: str, seed: int, lines: int = 20) -> str:
    body = "\n".join(f"  value_{seed}_{line} = compute_{line}(input[{seed * line}], {line});" for line in range(lines))
    return f"int {name}() {{\n{body}\n  return 0;\n}}"


def signature(text: str) -> bytes:
    made = signature_of(text)
    assert made is not None
    return made


def test_white_space_and_a_name_make_no_difference() -> None:
    seen = NearDuplicates(0.85)
    assert seen.is_new(signature(function("one", 1)))
    assert not seen.is_new(signature(function("one", 1).replace("\n  ", "\n\t\t")))
    assert not seen.is_new(signature(function("two", 1)))
    assert seen.is_new(signature(function("one", 2)))


def test_the_threshold() -> None:
    base, half = function("f", 1), function("f", 1, 20).replace("value_1_1", "other_1_1")
    for threshold, new in ((0.3, False), (1.0, True)):
        seen = NearDuplicates(threshold)
        assert seen.is_new(signature(base))
        assert seen.is_new(signature(half)) == new


def test_short_texts_are_not_compared() -> None:
    assert signature_of("int size() const { return size_; }") is None


def test_signatures_are_the_same_everywhere() -> None:
    assert signature(function("f", 1))[:8].hex() == "f3e385018d5fa400"


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.1])
def test_impossible_thresholds(threshold: float) -> None:
    with pytest.raises(ConfigError, match="threshold"):
        NearDuplicates(threshold)
