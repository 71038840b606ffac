from __future__ import annotations

from typing import Any

import pytest

from nanoplug.registry.well_formed import faults
from nanoplug.spec import AttentionSpec, KernelSpec


def _attention(**declared: Any) -> AttentionSpec:
    return AttentionSpec(name="a", summary="", load="m:o", **declared)


def test_a_sound_spec_has_no_faults() -> None:
    assert (
        list(faults(_attention(memory="linear", launches={"cuda": r"flash|sdpa", "cpu": ("aten::a", "aten::b")}))) == []
    )
    assert list(faults(KernelSpec(name="k", summary="", load="m:o", memory="tile"))) == []


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"memory": "tile"}, "memory 'tile' is unknown; use linear, chunk, quadratic"),
        ({"launches": {"gpu": "x"}}, "launches: device 'gpu' is unknown"),
        ({"launches": {"cpu": "("}}, "launches: '(' is no regular expression"),
    ],
)
def test_faults(declared: dict[str, Any], says: str) -> None:
    (fault,) = faults(_attention(**declared))
    assert says in fault
