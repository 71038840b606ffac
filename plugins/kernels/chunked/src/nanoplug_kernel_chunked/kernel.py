"""Cross entropy over hidden x vocabulary in chunks of rows, on any device.

For `mean` and `sum` each row's gradient is known, up to one factor, as soon as its logits are: it is computed in the
forward pass, while they are there, and backward only scales it. So the logits are computed once, and three matrix
products do for forward and backward. `none` has a factor for each row, known only in backward, where the logits of a
chunk are computed again.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nanoplug.contracts import Reduction, check_loss
from nanoplug.errors import ConfigError
from nanoplug_kernel_chunked.chunks import each_row, each_row_gradients, total_and_gradients

NAME = "chunked"
DTYPES = ("fp32", "bf16", "fp16")


class ChunkedKernel:
    """Serves `linear_cross_entropy` of `nanoplug.contracts.Kernel`, holding chunk_rows x V logits at once."""

    def __init__(self, chunk_rows: int = 4096) -> None:
        if isinstance(chunk_rows, bool) or not isinstance(chunk_rows, int) or chunk_rows < 1:
            raise ConfigError(f"{NAME}: chunk_rows is {chunk_rows!r}; it must be a whole number of at least 1.")
        self._chunk_rows = chunk_rows

    def linear_cross_entropy(
        self,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        targets_N: Tensor,
        *,
        softcap: float | None = None,
        ignore_index: int = -1,
        reduction: Reduction = "mean",
    ) -> Tensor:
        """fp32 scalar, or (N,). Matrix products in the inputs' dtype, the rest and the sum of dweight in fp32."""
        check_loss(NAME, hidden_ND, targets_N, weight_VD=weight_VD, softcap=softcap, reduction=reduction, dtypes=DTYPES)
        fused = torch.compiler.is_compiling() and hidden_ND.is_cuda
        plan = (softcap, ignore_index, self._chunk_rows, fused)
        wanted = torch.is_grad_enabled() and (hidden_ND.requires_grad or weight_VD.requires_grad)
        if reduction == "none" or not wanted:
            rows_N: Tensor = _EachRow.apply(hidden_ND, weight_VD, targets_N, *plan)
            if reduction == "none":
                return rows_N
            total = rows_N.sum()
        else:
            total = _Total.apply(hidden_ND, weight_VD, targets_N, *plan)
        if reduction == "sum":
            return total
        return total / (targets_N != ignore_index).sum().clamp(min=1)


class _Total(torch.autograd.Function):
    """The sum of the rows' losses; the gradients for an upstream of 1 are made in forward."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        targets_N: Tensor,
        softcap: float | None,
        ignore_index: int,
        chunk_rows: int,
        fused: bool,
    ) -> Tensor:
        total: Tensor
        total, hidden_gradient_ND, weight_gradient_VD = total_and_gradients(
            hidden_ND, weight_VD, targets_N, softcap, ignore_index, chunk_rows, fused
        )
        ctx.save_for_backward(hidden_gradient_ND, weight_gradient_VD)
        ctx.dtype = hidden_ND.dtype
        return total

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        (factor,) = upstream
        hidden_gradient_ND, weight_gradient_VD = ((x * factor).to(ctx.dtype) for x in ctx.saved_tensors)
        return hidden_gradient_ND, weight_gradient_VD, None, None, None, None, None


class _EachRow(torch.autograd.Function):
    """The loss of each row; backward computes the logits of a chunk again."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        targets_N: Tensor,
        softcap: float | None,
        ignore_index: int,
        chunk_rows: int,
        fused: bool,
    ) -> Tensor:
        ctx.save_for_backward(hidden_ND, weight_VD, targets_N)
        ctx.plan = (softcap, ignore_index, chunk_rows, fused)
        loss_N: Tensor = each_row(hidden_ND, weight_VD, targets_N, softcap, ignore_index, chunk_rows, fused)
        return loss_N

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        hidden_ND, weight_VD, targets_N = ctx.saved_tensors
        hidden_gradient_ND, weight_gradient_VD = each_row_gradients(
            upstream[0], hidden_ND, weight_VD, targets_N, *ctx.plan
        )
        return hidden_gradient_ND, weight_gradient_VD, None, None, None, None, None
