"""`torch.compile` traces each op into one graph for CUDA tensors, as far as a machine without a GPU can tell.

Tensors are fake: they have a device and no data, so nothing is launched.
"""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

pytest.importorskip("triton")
from nanoplug_kernel_triton.kernel import TritonKernel

from nanoplug.contracts import Reduction


@pytest.mark.parametrize("reduction, shape", [("mean", ()), ("sum", ()), ("none", (33,))])
def test_the_loss_is_one_graph(reduction: Reduction, shape: tuple[int, ...]) -> None:
    kernel = TritonKernel()

    @torch.compile(fullgraph=True, dynamic=False, backend="eager")
    def step(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return kernel.linear_cross_entropy(hidden, weight, targets, softcap=15.0, reduction=reduction) * 2

    with FakeTensorMode():
        hidden, weight = torch.empty(33, 40, device="cuda"), torch.empty(101, 40, device="cuda")
        loss = step(hidden, weight, torch.empty(33, dtype=torch.int64, device="cuda"))
    assert loss.shape == shape
    assert loss.dtype == torch.float32


def test_rms_norm_and_rotary_are_one_graph() -> None:
    kernel = TritonKernel()

    @torch.compile(fullgraph=True, dynamic=False, backend="eager")
    def step(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        return kernel.rms_norm(kernel.rotary(x, cos, sin), eps=1e-6)

    with FakeTensorMode():
        x = torch.empty(2, 5, 3, 16, device="cuda", dtype=torch.bfloat16)
        cos, sin = torch.empty(1, 5, 8, device="cuda"), torch.empty(1, 5, 8, device="cuda")
        y = step(x, cos, sin)
    assert y.shape == x.shape
    assert y.dtype == torch.bfloat16
