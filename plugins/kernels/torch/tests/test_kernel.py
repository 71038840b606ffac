"""What the laws do not say about this kernel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from nanoplug_kernel_torch.kernel import TorchKernel
from nanoplug_kernel_torch.manifest import nanoplug_kernel

from nanoplug.spec import KERNEL_OPS


def test_it_is_the_reference_and_has_every_op() -> None:
    (spec,) = nanoplug_kernel()
    assert spec.reference
    assert spec.ops == set(KERNEL_OPS)


def test_the_mean_is_torch_s_own_where_there_is_a_target() -> None:
    logits_NV, targets_N = torch.randn(9, 7), torch.tensor([0, 1, -1, 3, 4, 5, 6, -1, 2])
    want = F.cross_entropy(logits_NV, targets_N, ignore_index=-1)
    torch.testing.assert_close(TorchKernel().cross_entropy(logits_NV, targets_N), want)
