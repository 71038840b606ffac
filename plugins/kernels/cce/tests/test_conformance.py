"""The shipped laws, on this backend: on the GPU if there is one, and in Triton's CPU interpreter."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from nanoplug.conformance import KernelLaws
from nanoplug.conformance.interpreted_triton import laws_in_interpreter

NOT_INTERPRETED = {
    "cce: memory",  # too slow
    "cce: deterministic",  # not declared
    "cce: undeclared",  # every reduction and the cap are declared
    "cce: rms_norm",  # not served, as are the ops that follow
    "cce: rms_norm_eps",
    "cce: rms_norm_in_fp32",
    "cce: rms_norm_gradients",
    "cce: rotary",
    "cce: rotary_rows",
    "cce: rotary_gradients",
    "cce: op_refusals",
    "cce: ops_compile",
}
NEEDS = ("cut_cross_entropy", "triton")


class TestCce(KernelLaws):
    backend = "cce"


class TestCceWithFilter(KernelLaws):
    backend = "cce"
    options = {"filter": True}


@pytest.mark.slow
def test_laws_in_the_interpreter() -> None:
    """In fp16, on small inputs, each law holds and rejects its wrong implementations."""
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    laws = laws_in_interpreter(Path(__file__).with_name("interpreted_laws.py"))
    assert not [(law.law, law.broken) for law in laws if law.broken]
    assert not [(law.law, law.survivors) for law in laws if law.survivors]
    assert {law.law for law in laws if not law.cases} == NOT_INTERPRETED
