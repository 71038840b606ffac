"""Out-of-range targets, found on purpose: the test reads the device, so it stays out of the training step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nanoplug.contracts import Kernel, Reduction
from nanoplug.errors import ContractError

if TYPE_CHECKING:
    from torch import Tensor


def check_targets(who: str, targets_N: Tensor, vocabulary: int, ignore_index: int) -> None:
    """Raise ContractError unless each target is `ignore_index` or in [0, vocabulary). Waits for the device."""
    wrong_N = ((targets_N < 0) | (targets_N >= vocabulary)) & (targets_N != ignore_index)
    if not bool(wrong_N.any()):
        return
    row = int(wrong_N.int().argmax())
    raise ContractError(
        f"{who}: target {int(targets_N[row])} in row {row} is outside the vocabulary of {vocabulary} "
        f"and is not ignore_index ({ignore_index}); {int(wrong_N.sum())} targets are.",
        todo="Use the tokenizer that the model was built for, and mark rows without a target with ignore_index.",
    )


class CheckedKernel:
    """A kernel whose losses first look at every target. For `--check` and for `verify`: each call waits."""

    def __init__(self, kernel: Kernel, name: str = "kernel") -> None:
        self.kernel, self.name = kernel, name

    def check(self, targets_N: Tensor, vocabulary: int, ignore_index: int) -> None:
        check_targets(self.name, targets_N, vocabulary, ignore_index)

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
        self.check(targets_N, weight_VD.shape[0], ignore_index)
        return self.kernel.linear_cross_entropy(
            hidden_ND, weight_VD, targets_N, softcap=softcap, ignore_index=ignore_index, reduction=reduction
        )

    def cross_entropy(
        self,
        logits_NV: Tensor,
        targets_N: Tensor,
        *,
        softcap: float | None = None,
        ignore_index: int = -1,
        reduction: Reduction = "mean",
    ) -> Tensor:
        self.check(targets_N, logits_NV.shape[1], ignore_index)
        return self.kernel.cross_entropy(
            logits_NV, targets_N, softcap=softcap, ignore_index=ignore_index, reduction=reduction
        )

    def rms_norm(self, x: Tensor, *, eps: float) -> Tensor:
        return self.kernel.rms_norm(x, eps=eps)

    def rotary(self, x_BTHD: Tensor, cos_BTE: Tensor, sin_BTE: Tensor) -> Tensor:
        return self.kernel.rotary(x_BTHD, cos_BTE, sin_BTE)


def checked(kernel: Kernel, name: str = "kernel") -> CheckedKernel:
    """`kernel` with its targets checked; one that is checked already stays as it is."""
    return kernel if isinstance(kernel, CheckedKernel) else CheckedKernel(kernel, name)
