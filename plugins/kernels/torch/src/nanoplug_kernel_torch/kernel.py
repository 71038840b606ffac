"""The four ops in plain torch. Under `torch.compile` the cap, the softmax and the casts fuse."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nanoplug.contracts import Reduction, check_loss
from nanoplug.errors import ContractError

NAME = "torch"
DTYPES = ("fp32", "bf16", "fp16")


class TorchKernel:
    """Serves `nanoplug.contracts.Kernel`. The losses hold all N x V logits."""

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
        """fp32 scalar, or (N,). The matrix product is in the inputs' dtype; the cap and the loss are in fp32."""
        check_loss(NAME, hidden_ND, targets_N, weight_VD=weight_VD, softcap=softcap, reduction=reduction, dtypes=DTYPES)
        return _loss(F.linear(hidden_ND, weight_VD), targets_N, softcap, ignore_index, reduction)

    def cross_entropy(
        self,
        logits_NV: Tensor,
        targets_N: Tensor,
        *,
        softcap: float | None = None,
        ignore_index: int = -1,
        reduction: Reduction = "mean",
    ) -> Tensor:
        """fp32 scalar, or (N,), from logits (N, V)."""
        check_loss(NAME, logits_NV, targets_N, weight_VD=None, softcap=softcap, reduction=reduction, dtypes=DTYPES)
        return _loss(logits_NV, targets_N, softcap, ignore_index, reduction)

    def rms_norm(self, x: Tensor, *, eps: float) -> Tensor:
        """x / sqrt(mean(x^2) + eps) over the last axis, in the dtype of x."""
        if not x.is_floating_point():
            raise ContractError(f"{NAME}: rms_norm takes floating-point values, got {x.dtype}.")
        return F.rms_norm(x, (x.shape[-1],), eps=eps)

    def rotary(self, x_BTHD: Tensor, cos_BTE: Tensor, sin_BTE: Tensor) -> Tensor:
        """(B, T, H, D) rotated by halves, computed in fp32, in the dtype of x."""
        _check_rotary(x_BTHD, cos_BTE, sin_BTE)
        first, second = x_BTHD.float().chunk(2, dim=-1)
        cos, sin = cos_BTE[:, :, None], sin_BTE[:, :, None]
        return torch.cat([first * cos + second * sin, second * cos - first * sin], -1).to(x_BTHD.dtype)


def _loss(
    logits_NV: Tensor, targets_N: Tensor, softcap: float | None, ignore_index: int, reduction: Reduction
) -> Tensor:
    logits_NV = logits_NV.float()
    if softcap is not None:
        logits_NV = softcap * torch.tanh(logits_NV / softcap)
    if reduction != "mean":
        return F.cross_entropy(logits_NV, targets_N, ignore_index=ignore_index, reduction=reduction)
    total = F.cross_entropy(logits_NV, targets_N, ignore_index=ignore_index, reduction="sum")
    # torch's own mean is 0 / 0 without any target; the count stays on the device.
    return total / (targets_N != ignore_index).sum().clamp(min=1)


def _check_rotary(x_BTHD: Tensor, cos_BTE: Tensor, sin_BTE: Tensor) -> None:
    if x_BTHD.ndim != 4 or x_BTHD.shape[3] % 2 or not x_BTHD.is_floating_point():
        raise ContractError(
            f"{NAME}: rotary takes floating-point x (B, T, H, D) with an even D; "
            f"got {tuple(x_BTHD.shape)} of {x_BTHD.dtype}."
        )
    batch, tokens, _, head_dim = x_BTHD.shape
    fits = cos_BTE.ndim == 3 and cos_BTE.shape[0] in (1, batch) and cos_BTE.shape[1:] == (tokens, head_dim // 2)
    if not fits or sin_BTE.shape != cos_BTE.shape:
        raise ContractError(
            f"{NAME}: rotary tables are {tuple(cos_BTE.shape)} and {tuple(sin_BTE.shape)}; "
            f"x {tuple(x_BTHD.shape)} needs (1 or {batch}, {tokens}, {head_dim // 2})."
        )
