"""Two of the library's kernels as custom operators: `torch.compile` calls them and does not look inside.

The library's own entry looks for the rows with a target on the host (a synchronisation) and divides by their number,
which may be 0. Here every row is computed, and rows without a target get the loss 0 and the upstream gradient 0.
Three more faults of the library are made good: its capped softmax counts the columns that fill up the last tile, its
kernel for the targets' logits rounds each product to the dtype of the inputs, and its weight gradient is summed over
all tiles of rows in that dtype.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
from cut_cross_entropy import tl_autotune
from cut_cross_entropy.cce_backward import cce_backward_kernel
from cut_cross_entropy.cce_lse_forward import cce_lse_forward_kernel
from torch import Tensor
from torch.library import custom_op

INTERPRETED = bool(triton.knobs.runtime.interpret)
"""Triton runs kernels in its interpreter, on the CPU; decided before the library's kernels were imported."""

TUNES_ITSELF = bool(tl_autotune._AUTOTUNE)
VOCABULARY_TILE = 128
"""Columns of a tile of the library's forward kernel, unless it tunes itself."""

_CALL = (
    "Tensor hidden, Tensor weight, Tensor targets, float? softcap, int ignore_index, float? filter_eps, int pass_rows"
)


@custom_op("nanoplug_cce::each_row", mutates_args=(), schema=f"({_CALL}) -> (Tensor, Tensor, Tensor)")
def each_row(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    softcap: float | None,
    ignore_index: int,
    filter_eps: float | None,
    pass_rows: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Each row's loss (N,), 0 if ignored, and for backward the log of its partition function (N,), both fp32, and the
    order of the vocabulary by mean logit (V,) int32, which gathers what can be skipped; empty without the filter.
    """
    valid_N = targets_N != ignore_index
    safe_N = torch.where(valid_N, targets_N, 0)
    ordered = filter_eps is not None
    result = cce_lse_forward_kernel(hidden_ND, weight_VD, None, softcap=softcap, return_logit_avg=ordered)
    lse_N, mean_logit_V = result if ordered else (result, hidden_ND.new_empty(0))
    target_N = _target_logits(hidden_ND, weight_VD, safe_N, pass_rows)
    if softcap is not None:
        target_N = softcap * torch.tanh(target_N / softcap)
        lse_N = _without_filling(lse_N, -weight_VD.shape[0] % VOCABULARY_TILE, softcap)
    return torch.where(valid_N, lse_N - target_N, 0.0), lse_N, mean_logit_V.argsort().to(torch.int32)


def _target_logits(hidden_ND: Tensor, weight_VD: Tensor, safe_N: Tensor, pass_rows: int) -> Tensor:
    """(N,) fp32 logits of the targets, before the cap."""
    parts = (slice(start, start + pass_rows) for start in range(0, max(1, hidden_ND.shape[0]), pass_rows))
    return torch.cat([(hidden_ND[rows].float() * weight_VD[safe_N[rows]].float()).sum(-1) for rows in parts])


def _without_filling(lse_N: Tensor, columns: int, softcap: float) -> Tensor:
    """The library masks the last tile's surplus columns with -inf before the cap: each counts as a logit of -softcap.

    The real columns are never below that, so what is taken away is less than `columns` to one of what remains.
    """
    return lse_N + torch.log1p(-columns * torch.exp(-softcap - lse_N)) if columns else lse_N


@each_row.register_fake
def _(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    softcap: float | None,
    ignore_index: int,
    filter_eps: float | None,
    pass_rows: int,
) -> tuple[Tensor, Tensor, Tensor]:
    rows_N = hidden_ND.new_empty(hidden_ND.shape[0], dtype=torch.float32)
    ordered = weight_VD.shape[0] if filter_eps is not None else 0
    return rows_N, torch.empty_like(rows_N), hidden_ND.new_empty(ordered, dtype=torch.int32)


@custom_op(
    "nanoplug_cce::each_row_gradients",
    mutates_args=(),
    schema=f"(Tensor upstream, Tensor lse, Tensor order, {_CALL}) -> (Tensor, Tensor)",
)
def each_row_gradients(
    upstream_N: Tensor,
    lse_N: Tensor,
    order_V: Tensor,
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    softcap: float | None,
    ignore_index: int,
    filter_eps: float | None,
    pass_rows: int,
) -> tuple[Tensor, Tensor]:
    """Gradients of hidden and weight, in their dtype, for `upstream` of each row."""
    valid_N = targets_N != ignore_index
    upstream_N, safe_N = torch.where(valid_N, upstream_N, 0.0), torch.where(valid_N, targets_N, 0)
    weight_VD = weight_VD.detach().requires_grad_()  # the library makes no gradient of the weight otherwise

    def gradients(rows: slice) -> tuple[Tensor, Tensor]:
        hidden_gradient_RD, weight_gradient_VD = cce_backward_kernel(
            upstream_N[rows],
            hidden_ND[rows],
            weight_VD,
            lse_N[rows],
            None,
            softcap,
            filter_eps,
            targets=safe_N[rows],
            vocab_ordering=order_V if filter_eps is not None else None,
        )
        return hidden_gradient_RD, weight_gradient_VD

    count = hidden_ND.shape[0]
    if count <= pass_rows:
        return gradients(slice(count))
    hidden_gradient_ND = torch.empty_like(hidden_ND)
    total_VD = torch.zeros_like(weight_VD, dtype=torch.float32, requires_grad=False)
    for start in range(0, count, pass_rows):
        rows = slice(start, start + pass_rows)
        hidden_gradient_ND[rows], weight_gradient_VD = gradients(rows)
        total_VD += weight_gradient_VD
    return hidden_gradient_ND, total_VD.to(weight_VD.dtype)


@each_row_gradients.register_fake
def _(
    upstream_N: Tensor,
    lse_N: Tensor,
    order_V: Tensor,
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    softcap: float | None,
    ignore_index: int,
    filter_eps: float | None,
    pass_rows: int,
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(hidden_ND), torch.empty_like(weight_VD)


def _keep_call(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*output[1:], *inputs[:3])
    ctx.plan = inputs[3:]


def _backward(ctx: Any, upstream_N: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
    if upstream_N is None:
        return (None,) * 7
    gradients: tuple[Tensor, Tensor] = each_row_gradients(upstream_N, *ctx.saved_tensors, *ctx.plan)
    return (*gradients, None, None, None, None, None)


each_row.register_autograd(_backward, setup_context=_keep_call)
