"""The kernels on the CPU, in Triton's interpreter: a process of its own, since the choice is made at import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nanoplug.conformance.kit import laws_for
from nanoplug.errors import ConfigError, ContractError

pytest.importorskip("triton")
from nanoplug_kernel_triton.kernel import TritonKernel

SCRIPT = Path(__file__).parent / "laws_in_interpreter.py"
WITHOUT_CASES = {"memory", "bad_targets", "undeclared"}


def test_laws_hold_in_the_interpreter() -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    outcomes = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    broken = [f"{o['law']}: {o['case']} chunk_rows {o['chunk_rows']}: {o['detail']}" for o in outcomes if not o["ok"]]
    assert not broken, "\n".join(broken)
    judged = {outcome["law"] for outcome in outcomes}
    assert judged == {law.name for law in laws_for("kernel")} - WITHOUT_CASES


def test_bf16_is_refused_in_the_interpreter() -> None:
    code = (
        "import torch; from nanoplug_kernel_triton.kernel import TritonKernel; "
        "TritonKernel().rms_norm(torch.ones(2, 8).bfloat16(), eps=1e-6)"
    )
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1
    assert "ContractError: triton: Triton's interpreter takes fp32 or fp16" in done.stderr


def test_cpu_tensors_are_refused_before_a_launch() -> None:
    kernel = TritonKernel()
    with pytest.raises(ContractError, match="serves CUDA devices, got a tensor on cpu"):
        kernel.rms_norm(torch.ones(2, 8), eps=1e-6)
    with pytest.raises(ContractError, match="serves CUDA devices"):
        kernel.linear_cross_entropy(torch.ones(2, 8), torch.ones(4, 8), torch.zeros(2, dtype=torch.int64))


@pytest.mark.parametrize("chunk_rows", [-1, True, 2.5])
def test_bad_options_are_refused(chunk_rows: object) -> None:
    with pytest.raises(ConfigError, match="chunk_rows"):
        TritonKernel(chunk_rows=chunk_rows)  # type: ignore[arg-type]
