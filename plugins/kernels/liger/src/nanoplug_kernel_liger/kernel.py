"""Liger-Kernel's loss and norm, by the kernel contract.

Dynamo must not look into Liger's Triton kernels (it compiles them wrongly), so each call is a custom operator.
Its `rotary` is left out: it takes (B, H, T, D), turns the other way and needs a query with a key.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nanoplug.contracts import Reduction, check_loss, dtype_name
from nanoplug.errors import ConfigError, ContractError
from nanoplug_kernel_liger import operators

NAME = "liger"
DTYPES = ("fp32", "bf16", "fp16")
WIDEST_NORM = 65536


class LigerKernel:
    """Serves three ops of `nanoplug.contracts.Kernel` on CUDA; one chunk of logits is held at a time."""

    def __init__(self, accumulate_fp32: bool = False) -> None:
        if not isinstance(accumulate_fp32, bool):
            raise ConfigError(f"{NAME}: accumulate_fp32 is {accumulate_fp32!r}; it must be true or false.")
        self._accumulate_fp32 = accumulate_fp32

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
        """fp32 scalar, or (N,). Matrix products in the inputs' dtype, cap and softmax in fp32.

        For `mean` and `sum` forward makes the gradients too; for `none` backward computes the logits again.
        """
        check_loss(NAME, hidden_ND, targets_N, weight_VD=weight_VD, softcap=softcap, reduction=reduction, dtypes=DTYPES)
        _check_place(hidden_ND, weight_VD, targets_N)
        cap = None if softcap is None else float(softcap)
        plan = (cap, ignore_index, self._accumulate_fp32)
        wanted = torch.is_grad_enabled() and (hidden_ND.requires_grad or weight_VD.requires_grad)
        if reduction == "none" or not wanted:
            return _reduced(
                operators.each_row(hidden_ND, weight_VD, targets_N, *plan), targets_N, ignore_index, reduction
            )
        total: Tensor = operators.total_and_gradients(hidden_ND, weight_VD, targets_N, *plan)[0]
        return total if reduction == "sum" else total / _count(targets_N, ignore_index)

    def cross_entropy(
        self,
        logits_NV: Tensor,
        targets_N: Tensor,
        *,
        softcap: float | None = None,
        ignore_index: int = -1,
        reduction: Reduction = "mean",
    ) -> Tensor:
        """fp32 scalar, or (N,), from logits (N, V), which are copied: Liger puts their gradient in their place."""
        check_loss(NAME, logits_NV, targets_N, weight_VD=None, softcap=softcap, reduction=reduction, dtypes=DTYPES)
        _check_place(logits_NV, targets_N)
        cap = None if softcap is None else float(softcap)
        wanted = torch.is_grad_enabled() and logits_NV.requires_grad
        loss_N = operators.each_row_and_slope(logits_NV, targets_N, cap, ignore_index, wanted)[0]
        return _reduced(loss_N, targets_N, ignore_index, reduction)

    def rms_norm(self, x: Tensor, *, eps: float) -> Tensor:
        """x / sqrt(mean(x^2) + eps) over the last axis, computed in fp32, in the dtype of x."""
        if x.ndim == 0 or dtype_name(x.dtype) not in DTYPES:
            raise ContractError(f"{NAME}: rms_norm takes rows of {', '.join(DTYPES)}; got {x.ndim} axes of {x.dtype}.")
        if x.shape[-1] > WIDEST_NORM:
            raise ContractError(f"{NAME}: rms_norm takes rows of at most {WIDEST_NORM} values; got {x.shape[-1]}.")
        _check_place(x)
        normed: Tensor = operators.rms_norm(x.contiguous(), float(eps))[0]
        return normed


def _reduced(loss_N: Tensor, targets_N: Tensor, ignore_index: int, reduction: Reduction) -> Tensor:
    if reduction == "none":
        return loss_N
    return loss_N.sum() if reduction == "sum" else loss_N.sum() / _count(targets_N, ignore_index)


def _count(targets_N: Tensor, ignore_index: int) -> Tensor:
    """Rows with a target, at least 1, on the device."""
    return (targets_N != ignore_index).sum().clamp(min=1)


def _check_place(rows: Tensor, *others: Tensor) -> None:
    if not (rows.is_cuda or operators.INTERPRETED):
        raise ContractError(f"{NAME}: got tensors on {rows.device}; Triton kernels need a CUDA device.")
    if any(other.device != rows.device for other in others):
        places = ", ".join(str(x.device) for x in (rows, *others))
        raise ContractError(f"{NAME}: the tensors are on {places}; they must be on one device.")
    if not rows.numel():
        raise ContractError(f"{NAME}: got {tuple(rows.shape)}; there must be at least one row and one column.")
