"""The loss as custom operators, which `torch.compile` calls without looking inside, and their place in autograd.

`mean` and `sum` make the gradients in forward, up to a factor, while the logits are at hand; backward applies the
factor. `none` has a factor for each row, known only in backward, where the logits are computed again.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op

from nanoplug_kernel_triton import chunks, rows
from nanoplug_kernel_triton.chunks import Plan

_CALL = "Tensor hidden, Tensor weight, Tensor targets, float? softcap, int ignore_index, int chunk_rows"


@custom_op("nanoplug_triton::each_row", mutates_args=(), schema=f"({_CALL}) -> Tensor")
def each_row(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    softcap: float | None,
    ignore_index: int,
    chunk_rows: int,
) -> Tensor:
    """(N,) fp32, 0 at ignored rows."""
    plan = Plan(softcap=softcap, ignore_index=ignore_index, chunk_rows=chunk_rows)
    return chunks.losses(hidden_ND.contiguous(), weight_VD.contiguous(), targets_N.contiguous(), plan)


@custom_op(
    "nanoplug_triton::total_and_products", mutates_args=(), schema=f"({_CALL}) -> (Tensor, Tensor, Tensor, Tensor)"
)
def total_and_products(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    softcap: float | None,
    ignore_index: int,
    chunk_rows: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The sum of the losses, then what `gradients` takes."""
    plan = Plan(softcap=softcap, ignore_index=ignore_index, chunk_rows=chunk_rows)
    made = chunks.products(hidden_ND.contiguous(), weight_VD.contiguous(), targets_N.contiguous(), None, plan)
    # clone: no output may share memory with another
    return made.loss_N.sum(), made.products_ND, made.factor_N.clone(), made.weight_VD


@custom_op("nanoplug_triton::gradients", mutates_args=())
def gradients(
    upstream: Tensor, products_ND: Tensor, factor_N: Tensor, weight_gradient_VD: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of hidden (N, D) and weight (V, D), in the dtype of products_ND. upstream: one number, fp32."""
    dtype = products_ND.dtype
    return rows.scale(products_ND, factor_N, upstream, dtype), rows.scale(weight_gradient_VD, None, upstream, dtype)


@custom_op(
    "nanoplug_triton::gradients_of_each_row", mutates_args=(), schema=f"(Tensor upstream, {_CALL}) -> (Tensor, Tensor)"
)
def gradients_of_each_row(
    upstream_N: Tensor,
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    softcap: float | None,
    ignore_index: int,
    chunk_rows: int,
) -> tuple[Tensor, Tensor]:
    """Gradients of hidden (N, D) and weight (V, D) in their dtype, for `upstream` (N,) in fp32."""
    plan = Plan(softcap=softcap, ignore_index=ignore_index, chunk_rows=chunk_rows)
    hidden_ND, weight_VD, targets_N = hidden_ND.contiguous(), weight_VD.contiguous(), targets_N.contiguous()
    made = chunks.products(hidden_ND, weight_VD, targets_N, upstream_N.contiguous(), plan)
    hidden_gradient_ND = rows.scale(made.products_ND, made.factor_N, None, hidden_ND.dtype)
    return hidden_gradient_ND, made.weight_VD.to(weight_VD.dtype, copy=True)


@each_row.register_fake
def _(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    softcap: float | None,
    ignore_index: int,
    chunk_rows: int,
) -> Tensor:
    return hidden_ND.new_empty(hidden_ND.shape[0], dtype=torch.float32)


@total_and_products.register_fake
def _(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    softcap: float | None,
    ignore_index: int,
    chunk_rows: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    each = hidden_ND.new_empty(hidden_ND.shape[0], dtype=torch.float32)
    weight = weight_VD.new_empty(weight_VD.shape, dtype=torch.float32)
    return each.new_empty(()), hidden_ND.new_empty(hidden_ND.shape), each, weight


@gradients.register_fake
def _(upstream: Tensor, products_ND: Tensor, factor_N: Tensor, weight_gradient_VD: Tensor) -> tuple[Tensor, Tensor]:
    dtype = products_ND.dtype
    return products_ND.new_empty(products_ND.shape), weight_gradient_VD.new_empty(weight_gradient_VD.shape, dtype=dtype)


@gradients_of_each_row.register_fake
def _(
    upstream_N: Tensor,
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    softcap: float | None,
    ignore_index: int,
    chunk_rows: int,
) -> tuple[Tensor, Tensor]:
    return hidden_ND.new_empty(hidden_ND.shape), weight_VD.new_empty(weight_VD.shape)


class Total(torch.autograd.Function):
    """The sum of the rows' losses."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        targets_N: Tensor,
        softcap: float | None,
        ignore_index: int,
        chunk_rows: int,
    ) -> Tensor:
        total: Tensor
        total, *made = total_and_products(hidden_ND, weight_VD, targets_N, softcap, ignore_index, chunk_rows)
        ctx.save_for_backward(*made)
        return total

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        hidden_gradient_ND, weight_gradient_VD = gradients(upstream[0], *ctx.saved_tensors)
        return hidden_gradient_ND, weight_gradient_VD, None, None, None, None


class EachRow(torch.autograd.Function):
    """The loss of each row."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        targets_N: Tensor,
        softcap: float | None,
        ignore_index: int,
        chunk_rows: int,
    ) -> Tensor:
        ctx.save_for_backward(hidden_ND, weight_VD, targets_N)
        ctx.plan = (softcap, ignore_index, chunk_rows)
        loss_N: Tensor = each_row(hidden_ND, weight_VD, targets_N, softcap, ignore_index, chunk_rows)
        return loss_N

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        hidden_gradient_ND, weight_gradient_VD = gradients_of_each_row(upstream[0], *ctx.saved_tensors, *ctx.plan)
        return hidden_gradient_ND, weight_gradient_VD, None, None, None, None
