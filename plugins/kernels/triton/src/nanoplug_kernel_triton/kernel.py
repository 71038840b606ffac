"""The ops of `nanoplug.contracts.Kernel` that this distribution has."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nanoplug.contracts import Reduction, check_loss, dtype_name
from nanoplug.errors import ConfigError, ContractError
from nanoplug_kernel_triton.launch import check_device, interpreted
from nanoplug_kernel_triton.loss import EachRow, Total, each_row
from nanoplug_kernel_triton.norm import LARGEST_WIDTH, Norm
from nanoplug_kernel_triton.product import product_kernel
from nanoplug_kernel_triton.rotary import Rotation

NAME = "triton"
DTYPES = ("fp32", "bf16", "fp16")
IN_INTERPRETER = interpreted(product_kernel)


class TritonKernel:
    """Serves `linear_cross_entropy`, `rms_norm` and `rotary` on CUDA devices.

    Under `torch.compile` rms_norm and rotary are torch expressions: the compiler makes Triton kernels of them that are
    fused with their neighbours, which an operator of its own would prevent.
    """

    def __init__(self, chunk_rows: int = 0) -> None:
        if isinstance(chunk_rows, bool) or not isinstance(chunk_rows, int) or chunk_rows < 0:
            raise ConfigError(f"{NAME}: chunk_rows is {chunk_rows!r}; it must be a whole number, 0 to plan it.")
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
        """fp32 scalar, or (N,). Matrix products in the inputs' dtype, all else and the sum of dweight in fp32."""
        check_loss(NAME, hidden_ND, targets_N, weight_VD=weight_VD, softcap=softcap, reduction=reduction, dtypes=DTYPES)
        check_device(NAME, IN_INTERPRETER, hidden_ND)
        plan = (softcap, ignore_index, self._chunk_rows)
        wanted = torch.is_grad_enabled() and (hidden_ND.requires_grad or weight_VD.requires_grad)
        if reduction == "none":
            rows_N: Tensor = EachRow.apply(hidden_ND, weight_VD, targets_N, *plan)
            return rows_N
        if wanted:
            total: Tensor = Total.apply(hidden_ND, weight_VD, targets_N, *plan)
        else:
            total = each_row(hidden_ND, weight_VD, targets_N, *plan).sum()
        if reduction == "sum":
            return total
        return total / (targets_N != ignore_index).sum().clamp(min=1)

    def rms_norm(self, x: Tensor, *, eps: float) -> Tensor:
        """x / sqrt(mean(x^2) + eps) over the last axis, in the dtype of x."""
        if dtype_name(x.dtype) not in DTYPES:
            raise ContractError(f"{NAME}: rms_norm takes {', '.join(DTYPES)}, got {x.dtype}.")
        if x.shape[-1] > LARGEST_WIDTH:
            raise ContractError(f"{NAME}: rms_norm takes widths up to {LARGEST_WIDTH}, got {x.shape[-1]}.")
        check_device(NAME, IN_INTERPRETER, x)
        if torch.compiler.is_compiling():
            return F.rms_norm(x, (x.shape[-1],), eps=eps)
        result: Tensor = Norm.apply(x, eps)
        return result

    def rotary(self, x_BTHD: Tensor, cos_BTE: Tensor, sin_BTE: Tensor) -> Tensor:
        """(B, T, H, D) rotated by halves, computed in fp32, in the dtype of x."""
        _check_rotary(x_BTHD, cos_BTE, sin_BTE)
        check_device(NAME, IN_INTERPRETER, x_BTHD)
        if torch.compiler.is_compiling():
            first, second = x_BTHD.float().chunk(2, dim=-1)
            cos, sin = cos_BTE.unsqueeze(2), sin_BTE.unsqueeze(2)
            return torch.cat([first * cos + second * sin, second * cos - first * sin], -1).to(x_BTHD.dtype)
        result: Tensor = Rotation.apply(x_BTHD, cos_BTE, sin_BTE)
        return result


def _check_rotary(x_BTHD: Tensor, cos_BTE: Tensor, sin_BTE: Tensor) -> None:
    if x_BTHD.ndim != 4 or x_BTHD.shape[3] % 2 or dtype_name(x_BTHD.dtype) not in DTYPES:
        raise ContractError(
            f"{NAME}: rotary takes x (B, T, H, D) with an even D in {', '.join(DTYPES)}; "
            f"got {tuple(x_BTHD.shape)} of {x_BTHD.dtype}."
        )
    batch, tokens, _, head_dim = x_BTHD.shape
    fits = cos_BTE.ndim == 3 and cos_BTE.shape[0] in (1, batch) and cos_BTE.shape[1:] == (tokens, head_dim // 2)
    if not fits or sin_BTE.shape != cos_BTE.shape:
        raise ContractError(
            f"{NAME}: rotary tables are {tuple(cos_BTE.shape)} and {tuple(sin_BTE.shape)}; "
            f"x {tuple(x_BTHD.shape)} needs (1 or {batch}, {tokens}, {head_dim // 2})."
        )
