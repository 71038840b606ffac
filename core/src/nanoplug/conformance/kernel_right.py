"""A kernel that serves the contract plainly, in steps that a wrong twin overrides; see `kernel_wrong`."""

from __future__ import annotations

import torch
from torch import Tensor

from nanoplug.contracts import Reduction, check_loss
from nanoplug.errors import ContractError
from nanoplug.spec import DTYPES


class Right:
    """The ops in plain fp32, in steps that a wrong twin overrides."""

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
        check_loss(
            "plain", hidden_ND, targets_N, weight_VD=weight_VD, softcap=softcap, reduction=reduction, dtypes=DTYPES
        )
        hidden_ND, weight_VD = self.taken(hidden_ND), self.taken(weight_VD)
        return self.loss(hidden_ND.float() @ weight_VD.float().T, targets_N, softcap, ignore_index, reduction)

    def cross_entropy(
        self,
        logits_NV: Tensor,
        targets_N: Tensor,
        *,
        softcap: float | None = None,
        ignore_index: int = -1,
        reduction: Reduction = "mean",
    ) -> Tensor:
        check_loss("plain", logits_NV, targets_N, weight_VD=None, softcap=softcap, reduction=reduction, dtypes=DTYPES)
        return self.loss(self.taken(logits_NV).float(), targets_N, softcap, ignore_index, reduction)

    def loss(
        self, logits_NV: Tensor, targets_N: Tensor, softcap: float | None, ignore_index: int, reduction: str
    ) -> Tensor:
        valid_N = self.valid(targets_N, ignore_index)
        capped_NV = logits_NV if softcap is None else self.cap(logits_NV, softcap)
        safe_N1 = targets_N.clamp(0, logits_NV.shape[1] - 1)[:, None]
        rows_N = self.normaliser(capped_NV) - capped_NV.gather(1, safe_N1)[:, 0]
        return self.reduced(torch.where(valid_N, rows_N, 0.0), valid_N, reduction)

    def taken(self, x: Tensor) -> Tensor:
        return x

    def valid(self, targets_N: Tensor, ignore_index: int) -> Tensor:
        return targets_N != ignore_index

    def cap(self, logits_NV: Tensor, softcap: float) -> Tensor:
        return softcap * torch.tanh(logits_NV / softcap)

    def normaliser(self, capped_NV: Tensor) -> Tensor:
        return capped_NV.logsumexp(-1)

    def reduced(self, rows_N: Tensor, valid_N: Tensor, reduction: str) -> Tensor:
        if reduction == "none":
            return rows_N
        return rows_N.sum() if reduction == "sum" else rows_N.sum() / valid_N.sum().clamp(min=1)

    def rms_norm(self, x: Tensor, *, eps: float) -> Tensor:
        if not x.is_floating_point():
            raise ContractError(f"plain: rms_norm takes floats, got {x.dtype}.")
        wide = x.float()
        return (wide * (wide.square().mean(-1, keepdim=True) + eps).rsqrt()).to(x.dtype)

    def rotary(self, x_BTHD: Tensor, cos_BTE: Tensor, sin_BTE: Tensor) -> Tensor:
        self.check_rotary(x_BTHD, cos_BTE)
        first, second = self.halves(x_BTHD.float())
        cos, sin = cos_BTE[:, :, None], sin_BTE[:, :, None]
        return self.joined(first * cos + second * sin, second * cos - first * sin).to(x_BTHD.dtype)

    def check_rotary(self, x_BTHD: Tensor, cos_BTE: Tensor) -> None:
        batch, tokens, _, head_dim = x_BTHD.shape
        fits = cos_BTE.shape[0] in (1, batch) and tuple(cos_BTE.shape[1:]) == (tokens, head_dim // 2)
        if head_dim % 2 or not fits:
            raise ContractError(f"plain: tables {tuple(cos_BTE.shape)} do not fit x {tuple(x_BTHD.shape)}.")

    def halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first, second = x.chunk(2, dim=-1)
        return first, second

    def joined(self, first: Tensor, second: Tensor) -> Tensor:
        return torch.cat([first, second], -1)
