"""The shipped laws, on this backend: on the GPU if there is one, and in Triton's CPU interpreter."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from nanoplug.conformance import KernelLaws
from nanoplug.conformance.interpreted_triton import laws_in_interpreter

NOT_INTERPRETED = {
    "liger: many_rows",  # a program for each row: too slow
    "liger: gradients_of_many_rows",
    "liger: deterministic",
    "liger: memory",
    "liger: undeclared",  # every reduction and the cap are declared
    "liger: rotary",  # not served
    "liger: rotary_rows",
    "liger: rotary_gradients",
}
NEEDS = ("liger_kernel", "triton")


class TestLiger(KernelLaws):
    backend = "liger"


class TestLigerAccumulatingInFp32(KernelLaws):
    backend = "liger"
    options = {"accumulate_fp32": True}


@pytest.mark.slow
def test_laws_in_the_interpreter() -> None:
    """In fp32 and fp16, on small inputs, each law holds and rejects its wrong implementations."""
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    laws = laws_in_interpreter(Path(__file__).with_name("interpreted_laws.py"))
    assert not [(law.law, law.broken) for law in laws if law.broken]
    assert not [(law.law, law.survivors) for law in laws if law.survivors]
    assert {law.law for law in laws if not law.cases} == NOT_INTERPRETED
