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
