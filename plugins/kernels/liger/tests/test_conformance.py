"""The shipped laws, on this backend: on the GPU if there is one, and in Triton's CPU interpreter."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nanoplug.conformance import KernelLaws

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
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("interpreted_laws.py"))],
        env={**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    laws = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    broken = [f"{law['law']}: {each['case']}: {each['detail']}" for law in laws for each in law["broken"]]
    assert not broken
    assert not [(law["law"], law["survivors"]) for law in laws if law["survivors"]]
    assert {law["law"] for law in laws if not law["cases"]} == NOT_INTERPRETED
