from __future__ import annotations

from typing import Any

import pytest
from attrs import field, frozen, validators

from nanoplug.errors import PluginError
from nanoplug.registry.options import complete, defaults
from nanoplug.spec import AttentionSpec


@frozen(kw_only=True)
class Options:
    chunk_rows: int = field(default=4096, validator=validators.gt(0))
    scale: float = 1.0
    exact: bool = False
    mode: str = "fast"


SPEC = AttentionSpec(name="a", summary="", load="m:o", options=Options)
DEFAULTS = {"chunk_rows": 4096, "scale": 1.0, "exact": False, "mode": "fast"}


def test_all_options_come_back_given_or_not() -> None:
    assert complete(SPEC, {}) == defaults(SPEC) == DEFAULTS
    assert complete(SPEC, {"chunk_rows": 8, "scale": 2}) == {**DEFAULTS, "chunk_rows": 8, "scale": 2.0}
    assert isinstance(complete(SPEC, {"scale": 2})["scale"], float)


def test_an_unknown_key_names_the_nearest() -> None:
    with pytest.raises(PluginError, match="'chunk_rows'") as caught:
        complete(SPEC, {"chunk_row": 8})
    assert "chunk_rows, scale, exact, mode" in caught.value.todo


@pytest.mark.parametrize("given", [{"chunk_rows": "8"}, {"chunk_rows": 8.0}, {"chunk_rows": True}, {"exact": "false"},
                                   {"exact": 1}, {"mode": 3}, {"scale": "1"}])  # fmt: skip
def test_a_value_of_another_type_is_refused_and_not_converted(given: dict[str, Any]) -> None:
    with pytest.raises(PluginError) as caught:
        complete(SPEC, given)
    (line,) = caught.value.details
    assert next(iter(given)) in line
    assert "expected" in line


def test_a_validator_of_the_plugin_is_heard() -> None:
    with pytest.raises(PluginError) as caught:
        complete(SPEC, {"chunk_rows": -1})
    assert "chunk_rows" in str(caught.value)


def test_a_backend_without_options_takes_none() -> None:
    spec = AttentionSpec(name="a", summary="", load="m:o")
    assert complete(spec, {}) == {}
    with pytest.raises(PluginError, match="no option 'x'"):
        complete(spec, {"x": 1})
