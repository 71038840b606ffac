from __future__ import annotations

import pytest

from nanoplug.errors import ConfigError
from nanoplug.registry.choice import Choice


@pytest.mark.parametrize(
    "text, choice",
    [
        ("auto", Choice()),
        (" sdpa ", Choice(name="sdpa")),
        ("some-dist:sdpa", Choice(name="some-dist:sdpa")),
        ("prefer=a,b", Choice(prefer=("a", "b"))),
        ("forbid=c", Choice(forbid=("c",))),
        ("prefer=a, d:b ; forbid=c", Choice(prefer=("a", "d:b"), forbid=("c",))),
    ],
)
def test_parse_and_back(text: str, choice: Choice) -> None:
    assert Choice.parse(text) == choice
    assert Choice.parse(str(choice)) == choice


@pytest.mark.parametrize(
    "text", ["", " ", "a,b", "a;b", "prefer=", "perfer=a", "prefer=a;prefer=b", "prefer=a;forbid=a", "prefer=a;"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        Choice.parse(text)
