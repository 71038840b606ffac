"""The kernel ops by the book, in fp64 or in the way of the plain operation.

Cross entropy with a soft cap after Gemma 2 (Riviere et al. 2024); RMS norm after Zhang and Sennrich 2019; rotary
position embedding after Su et al. 2021, in the half-split layout.
"""

from __future__ import annotations

import torch
from torch import Tensor


def loss_rows(logits_NV: Tensor, targets_N: Tensor, softcap: float | None, ignore_index: int) -> Tensor:
    """(N,) nats, 0 at ignored rows, in the dtype of the logits."""
    if softcap is not None:
        logits_NV = softcap * torch.tanh(logits_NV / softcap)
    valid_N = targets_N != ignore_index
    safe_N1 = torch.where(valid_N, targets_N, 0)[:, None]
    rows_N = logits_NV.logsumexp(-1) - logits_NV.gather(1, safe_N1)[:, 0]
    return torch.where(valid_N, rows_N, 0.0)


def reduce_rows(rows_N: Tensor, targets_N: Tensor, ignore_index: int, reduction: str) -> Tensor:
    """`mean` over the rows that are not ignored (0 if there are none), `sum`, or the rows themselves."""
    if reduction == "none":
        return rows_N
    if reduction == "sum":
        return rows_N.sum()
    return rows_N.sum() / (targets_N != ignore_index).sum().clamp(min=1)


def exact_logits(hidden_ND: Tensor, weight_VD: Tensor) -> Tensor:
    """(N, V) in fp64 on the CPU."""
    return hidden_ND.cpu().double() @ weight_VD.cpu().double().T


def plain_logits(hidden_ND: Tensor, weight_VD: Tensor) -> Tensor:
    """(N, V) in fp32 on the CPU, rounded once to the dtype of hidden as a matrix product in that dtype does."""
    return (hidden_ND.cpu().float() @ weight_VD.cpu().float().T).to(hidden_ND.dtype).float()


def rms_norm_exactly(x: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) over the last axis, fp64 on the CPU."""
    x = x.cpu().double()
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt()


def rotary_exactly(x_BTHD: Tensor, cos_BTE: Tensor, sin_BTE: Tensor) -> Tensor:
    """(B, T, H, D) fp64 on the CPU: y1 = x1 * cos + x2 * sin, y2 = x2 * cos - x1 * sin over the two halves of D."""
    first, second = x_BTHD.cpu().double().chunk(2, dim=-1)
    cos, sin = cos_BTE.cpu().double()[:, :, None], sin_BTE.cpu().double()[:, :, None]
    return torch.cat([first * cos + second * sin, second * cos - first * sin], -1)
