"""Liger's functions as custom operators: `torch.compile` calls them and does not look inside.

Where a loss is reduced, Liger is asked for the sum: the mean's factor is applied outside, on the device, so that it
meets neither a division by no rows nor the range of fp16. Liger's fused loss reads the count of targets on the host
all the same: one synchronisation a call, inside the library.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
from liger_kernel.ops.cross_entropy import MAX_FUSED_SIZE, liger_cross_entropy_kernel
from liger_kernel.ops.fused_linear_cross_entropy import fused_linear_cross_entropy_forward
from liger_kernel.ops.rms_norm import rms_norm_backward, rms_norm_forward
from liger_kernel.ops.utils import calculate_settings, element_mul_kernel, is_hip
from torch import Tensor
from torch.library import custom_op

INTERPRETED = bool(triton.knobs.runtime.interpret)
"""Triton runs kernels in its interpreter, on the CPU; decided before Liger's kernels were imported."""

_ALL_IN_FP32 = 1  # the casting mode that Liger names after Gemma
_CALL = "Tensor hidden, Tensor weight, Tensor targets, float? softcap, int ignore_index, bool accumulate_fp32"


def _fused(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    softcap: float | None,
    ignore_index: int,
    accumulate_fp32: bool,
    *,
    reduction: str,
    gradients: bool,
    upstream_N: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Liger's loss, gradient of hidden and gradient of weight; the last two mean nothing without `gradients`."""
    with torch.no_grad():
        loss, _, _, _, hidden_gradient_ND, weight_gradient_VD, _ = fused_linear_cross_entropy_forward(
            hidden_ND,
            weight_VD,
            targets_N,
            ignore_index=ignore_index,
            reduction=reduction,
            softcap=softcap,
            accum_dtype=torch.float32 if accumulate_fp32 else None,
            token_grad_output=upstream_N,
            compute_gradients=gradients,
            weight_requires_grad=gradients,
        )
    return loss, hidden_gradient_ND, weight_gradient_VD


@custom_op("nanoplug_liger::total_and_gradients", mutates_args=(), schema=f"({_CALL}) -> (Tensor, Tensor, Tensor)")
def total_and_gradients(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    softcap: float | None,
    ignore_index: int,
    accumulate_fp32: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """The sum of the losses, fp32, and its gradients of hidden and weight in their dtype."""
    plan = (softcap, ignore_index, accumulate_fp32)
    return _fused(hidden_ND, weight_VD, targets_N, *plan, reduction="sum", gradients=True)


@total_and_gradients.register_fake
def _(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    softcap: float | None,
    ignore_index: int,
    accumulate_fp32: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        hidden_ND.new_empty((), dtype=torch.float32),
        torch.empty_like(hidden_ND),
        torch.empty_like(weight_VD),
    )


@custom_op("nanoplug_liger::scaled", mutates_args=(), schema="(Tensor gradient, Tensor factor) -> Tensor")
def scaled(gradient_RD: Tensor, factor: Tensor) -> Tensor:
    """The gradient times a factor on the device, rounded once; torch would round the factor to the gradient's dtype."""
    result_RD = gradient_RD.clone()
    rows, columns = result_RD.shape
    element_mul_kernel[(rows,)](
        result_RD,
        result_RD.stride(0),
        factor,
        columns,
        BLOCK_SIZE=min(MAX_FUSED_SIZE, triton.next_power_of_2(columns)),
        X_col_stride=result_RD.stride(1),
        num_warps=16 if is_hip() else 32,
    )
    return result_RD


@scaled.register_fake
def _(gradient_RD: Tensor, factor: Tensor) -> Tensor:
    return torch.empty_like(gradient_RD)


def _keep_gradients(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    _, hidden_gradient_ND, weight_gradient_VD = output
    ctx.mark_non_differentiable(hidden_gradient_ND, weight_gradient_VD)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(hidden_gradient_ND, weight_gradient_VD)


def _scale_gradients(ctx: Any, upstream: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
    hidden_gradient_ND, weight_gradient_VD = ctx.saved_tensors
    if upstream is None:
        return (None,) * 6
    return scaled(hidden_gradient_ND, upstream), scaled(weight_gradient_VD, upstream), None, None, None, None


total_and_gradients.register_autograd(_scale_gradients, setup_context=_keep_gradients)


@custom_op("nanoplug_liger::each_row", mutates_args=(), schema=f"({_CALL}) -> Tensor")
def each_row(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    softcap: float | None,
    ignore_index: int,
    accumulate_fp32: bool,
) -> Tensor:
    """(N,) fp32, 0 at ignored rows."""
    plan = (softcap, ignore_index, accumulate_fp32)
    return _fused(hidden_ND, weight_VD, targets_N, *plan, reduction="none", gradients=False)[0]


@each_row.register_fake
def _(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    softcap: float | None,
    ignore_index: int,
    accumulate_fp32: bool,
) -> Tensor:
    return hidden_ND.new_empty(hidden_ND.shape[0], dtype=torch.float32)


@custom_op(
    "nanoplug_liger::each_row_gradients",
    mutates_args=(),
    schema=f"(Tensor upstream, {_CALL}) -> (Tensor, Tensor)",
)
def each_row_gradients(
    upstream_N: Tensor,
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    softcap: float | None,
    ignore_index: int,
    accumulate_fp32: bool,
) -> tuple[Tensor, Tensor]:
    """Gradients of hidden and weight, in their dtype, for `upstream` of each row; the logits are computed again."""
    plan = (softcap, ignore_index, accumulate_fp32)
    _, hidden_gradient_ND, weight_gradient_VD = _fused(
        hidden_ND, weight_VD, targets_N, *plan, reduction="none", gradients=True, upstream_N=upstream_N
    )
    return hidden_gradient_ND, weight_gradient_VD


@each_row_gradients.register_fake
def _(
    upstream_N: Tensor,
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    softcap: float | None,
    ignore_index: int,
    accumulate_fp32: bool,
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(hidden_ND), torch.empty_like(weight_VD)


def _keep_call(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:3])
    ctx.plan = inputs[3:]


def _recompute_gradients(ctx: Any, upstream_N: Tensor) -> tuple[Tensor | None, ...]:
    gradients: tuple[Tensor, Tensor] = each_row_gradients(upstream_N, *ctx.saved_tensors, *ctx.plan)
    return (*gradients, None, None, None, None)


each_row.register_autograd(_recompute_gradients, setup_context=_keep_call)


@custom_op(
    "nanoplug_liger::each_row_and_slope",
    mutates_args=(),
    schema="(Tensor logits, Tensor targets, float? softcap, int ignore_index, bool with_slope) -> (Tensor, Tensor)",
)
def each_row_and_slope(
    logits_NV: Tensor, targets_N: Tensor, softcap: float | None, ignore_index: int, with_slope: bool
) -> tuple[Tensor, Tensor]:
    """Each row's loss (N,) in fp32, 0 if ignored, and its slope in the logits (N, V), nonsense unless asked for.

    Liger's kernel is launched here and not through its `cross_entropy_forward`, which makes the loss in the dtype of
    the logits and waits for the device four times.
    """
    slope_NV = logits_NV.clone(memory_format=torch.contiguous_format)
    targets_N = targets_N.contiguous()
    rows, vocabulary = slope_NV.shape
    loss_N = slope_NV.new_zeros(rows, dtype=torch.float32)
    liger_cross_entropy_kernel[(rows,)](
        X_ptr=slope_NV,
        X_stride=slope_NV.stride(0),
        Y_ptr=targets_N,
        Y_stride=targets_N.stride(0),
        weight_ptr=None,
        loss_ptr=loss_N,
        z_loss_ptr=None,
        loss_stride=loss_N.stride(0),
        token_accuracy_ptr=None,
        token_accuracy_stride=0,
        predicted_tokens_ptr=None,
        predicted_tokens_stride=0,
        n_cols=vocabulary,
        n_non_ignore=rows,
        sum_non_ignore_weight=rows,
        weight_sum=0.0,
        ignore_index=ignore_index,
        lse_square_scale=0.0,
        label_smoothing=0.0,
        reduction="none",
        softcap=softcap,
        RETURN_Z_LOSS=False,
        RETURN_TOKEN_ACCURACY=False,
        RETURN_PREDICTED_TOKENS=False,
        BLOCK_SIZE=min(MAX_FUSED_SIZE, triton.next_power_of_2(vocabulary)),
        HAS_WEIGHT=False,
        HAS_SOFTCAPPING=softcap is not None,
        HAS_GRADIENTS=with_slope,
        num_warps=16 if is_hip() else 32,
    )
    return loss_N, slope_NV


@each_row_and_slope.register_fake
def _(
    logits_NV: Tensor, targets_N: Tensor, softcap: float | None, ignore_index: int, with_slope: bool
) -> tuple[Tensor, Tensor]:
    loss_N = logits_NV.new_empty(logits_NV.shape[0], dtype=torch.float32)
    return loss_N, torch.empty_like(logits_NV, memory_format=torch.contiguous_format)


def _keep_slope(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(output[1])


def _scale_slope(ctx: Any, upstream_N: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
    (slope_NV,) = ctx.saved_tensors
    logits_gradient_NV = None if upstream_N is None else (slope_NV * upstream_N[:, None]).to(slope_NV.dtype)
    return logits_gradient_NV, None, None, None, None


each_row_and_slope.register_autograd(_scale_slope, setup_context=_keep_slope)


@custom_op("nanoplug_liger::rms_norm", mutates_args=(), schema="(Tensor x, float eps) -> (Tensor, Tensor)")
def rms_norm(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """x (contiguous) normed over the last axis, and the factor of each row (rows,) in fp32."""
    normed, _, factor_R, *_ = rms_norm_forward(x, None, eps, 0.0, _ALL_IN_FP32, None)
    return normed, factor_R


@rms_norm.register_fake
def _(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), x.new_empty(x.numel() // x.shape[-1], dtype=torch.float32)


@custom_op(
    "nanoplug_liger::rms_norm_gradient", mutates_args=(), schema="(Tensor upstream, Tensor x, Tensor f) -> Tensor"
)
def rms_norm_gradient(upstream: Tensor, x: Tensor, factor_R: Tensor) -> Tensor:
    """The gradient of x, for the factors that `rms_norm` gave."""
    block, warps = calculate_settings(x.shape[-1])
    rows = x.view(-1, x.shape[-1])
    gradient: Tensor = rms_norm_backward(
        upstream.contiguous(), rows, None, factor_R, 0.0, _ALL_IN_FP32, block, warps, in_place=False, row_mode=None
    )[0]
    return gradient


@rms_norm_gradient.register_fake
def _(upstream: Tensor, x: Tensor, factor_R: Tensor) -> Tensor:
    return torch.empty_like(x)


def _keep_rows(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(inputs[0], output[1])


def _norm_backward(ctx: Any, upstream: Tensor | None, _: None) -> tuple[Tensor | None, None]:
    return (None if upstream is None else rms_norm_gradient(upstream, *ctx.saved_tensors)), None


rms_norm.register_autograd(_norm_backward, setup_context=_keep_rows)
