"""Contenders that are good, wrong, slow, or out of memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from nanoplug.benching.contender import Contender
from nanoplug.conformance.kernel_oracle import loss_rows, reduce_rows
from nanoplug.contracts import Mask
from nanoplug.spec import AttentionSpec, KernelSpec


class Plain:
    """Causal attention without windows, and the loss; `fails` is raised by every call."""

    def __init__(self, *, off: float = 0.0, fails: Exception | None = None) -> None:
        self.off, self.fails, self.calls = off, fails, 0

    def attend(self, q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, *, mask: Mask) -> Tensor:
        self.calls += 1
        if self.fails:
            raise self.fails
        q, k, v = (x.transpose(1, 2) for x in (q_BTHD, k_BSGD, v_BSGD))
        return scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True).transpose(1, 2) * (1 + self.off)

    def linear_cross_entropy(
        self,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        targets_N: Tensor,
        *,
        softcap: float | None = None,
        ignore_index: int = -1,
        reduction: str = "mean",
    ) -> Tensor:
        rows_N = loss_rows((hidden_ND @ weight_VD.T).float(), targets_N, softcap, ignore_index)
        return reduce_rows(rows_N, targets_N, ignore_index, reduction) * (1 + self.off)


@pytest.fixture
def contender() -> Callable[..., Contender]:
    """`contender(name, kind="attention", excused={}, off=..., fails=...)`."""

    def make(name: str, *, kind: str = "attention", excused: Any = None, **of_backend: Any) -> Contender:
        cls = AttentionSpec if kind == "attention" else KernelSpec
        return Contender(
            id=f"d:{name}",
            spec=cls(name=name, summary="", load="m:o", backward=True),
            distribution="d",
            version="1.0",
            made_of={"d": "1.0", "torch": torch.__version__, "files_sha256": "f"},
            backend=Plain(**of_backend),
            excused=excused or {},
        )

    return make
