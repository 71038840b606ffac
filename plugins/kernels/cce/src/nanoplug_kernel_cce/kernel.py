"""Apple's Cut Cross-Entropy, by the kernel contract (Wijmans et al. 2024, "Cut Your Losses in Large-Vocabulary
Language Models")."""

from __future__ import annotations

import torch
from torch import Tensor

from nanoplug.contracts import Reduction, check_loss
from nanoplug.errors import ConfigError, ContractError
from nanoplug_kernel_cce import operators

NAME = "cce"
DTYPES = ("bf16", "fp16")
OFFSET_LIMIT = 2**31


class CutKernel:
    """Serves `linear_cross_entropy` of `nanoplug.contracts.Kernel` on CUDA, in bf16 and fp16, holding one tile."""

    def __init__(self, filter: bool = False, pass_rows: int = 2048) -> None:
        if not isinstance(filter, bool):
            raise ConfigError(f"{NAME}: filter is {filter!r}; it must be true or false.")
        if isinstance(pass_rows, bool) or not isinstance(pass_rows, int) or pass_rows < 1:
            raise ConfigError(f"{NAME}: pass_rows is {pass_rows!r}; it must be a whole number of at least 1.")
        if operators.TUNES_ITSELF:
            raise ConfigError(
                f"{NAME}: CCE_AUTOTUNE is set, and the library then chooses tiles that cannot be known here.",
                todo="Unset CCE_AUTOTUNE.",
            )
        self._filter, self._pass_rows = filter, pass_rows

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
        """fp32 scalar, or (N,). Logits, cap and softmax in fp32. The gradients are summed over tiles in the inputs'
        dtype, that of the weight over passes in fp32.
        """
        check_loss(NAME, hidden_ND, targets_N, weight_VD=weight_VD, softcap=softcap, reduction=reduction, dtypes=DTYPES)
        _check_place(hidden_ND, weight_VD, targets_N)
        loss_N: Tensor = operators.each_row(
            hidden_ND.contiguous(),
            weight_VD.contiguous(),
            targets_N,
            None if softcap is None else float(softcap),
            ignore_index,
            torch.finfo(hidden_ND.dtype).eps / 32 if self._filter else None,
            self._pass_rows,
        )[0]
        if reduction == "none":
            return loss_N
        return loss_N.sum() if reduction == "sum" else loss_N.sum() / (targets_N != ignore_index).sum().clamp(min=1)


def _check_place(hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> None:
    tensors = (hidden_ND, weight_VD, targets_N)
    if not (hidden_ND.is_cuda or operators.INTERPRETED):
        raise ContractError(f"{NAME}: got tensors on {hidden_ND.device}; Triton kernels need a CUDA device.")
    if any(x.device != hidden_ND.device for x in tensors):
        raise ContractError(f"{NAME}: the tensors are on {', '.join(str(x.device) for x in tensors)}; need one device.")
    for name, x in (("hidden", hidden_ND), ("weight", weight_VD)):
        if not 0 < x.numel() < OFFSET_LIMIT:
            raise ContractError(f"{NAME}: {name} is {tuple(x.shape)}; it must hold 1 to {OFFSET_LIMIT - 1:,} values.")
