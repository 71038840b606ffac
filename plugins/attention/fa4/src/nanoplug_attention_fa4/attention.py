"""Attention through FlashAttention-4."""

from __future__ import annotations

import torch
from torch import Tensor

from nanoplug.contracts import LayerCache, Mask, check_attention
from nanoplug.errors import ContractError, PluginError
from nanoplug_attention_fa4 import operators

DTYPES = ("bf16", "fp16")
CAPABILITIES = ((9, 0), (10, 0))
HEADS = (32, 64, 96, 128)


class Fa4Attention:
    """Serves the training call of `nanoplug.contracts.Attention` on CUDA. Each new kind of call compiles a kernel."""

    def __init__(self) -> None:
        operators.library()
        self._devices = served_devices()

    def attend(self, q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, *, mask: Mask) -> Tensor:
        """(B, T, H, D), as the contract says, without segments."""
        check_attention("fa4", q_BTHD, k_BSGD, v_BSGD, mask, dtypes=DTYPES)
        self._check(q_BTHD, mask)
        # A window that hides nothing would compile another, slower kernel.
        window = mask.window if mask.window < k_BSGD.shape[1] - 1 else -1
        output_BTHD: Tensor = operators.attend(q_BTHD, k_BSGD, v_BSGD, mask.causal, window)[0]
        return output_BTHD

    def attend_cached(self, q_BTHD: Tensor, k_BTGD: Tensor, v_BTGD: Tensor, cache: LayerCache, *, mask: Mask) -> Tensor:
        """Not served: on compute capability 9.0 the library neither appends to a cache nor splits its keys."""
        raise ContractError("fa4: the cached call is not served.", todo="Choose another backend for attention.decode.")

    def _check(self, q_BTHD: Tensor, mask: Mask) -> None:
        """Raise ContractError for a device, a head size or a mask that is not served."""
        if q_BTHD.device not in self._devices:
            served = ", ".join(map(str, self._devices))
            raise ContractError(f"fa4: the tensors are on {q_BTHD.device}; it serves {served} here.")
        head_dim = q_BTHD.shape[3]
        if head_dim not in HEADS:
            raise ContractError(f"fa4: head size {head_dim} is not served; it must be {', '.join(map(str, HEADS))}.")
        if mask.segments_BT is not None:
            raise ContractError("fa4: document segments are not served.", todo="Use an attention that declares them.")


def served_devices() -> tuple[torch.device, ...]:
    """CUDA devices of this process that the library has kernels for. Raises PluginError if there is none."""
    present = {f"cuda:{index}": torch.cuda.get_device_capability(index) for index in range(torch.cuda.device_count())}
    served = tuple(torch.device(name) for name, capability in present.items() if capability in CAPABILITIES)
    if not served:
        found = ", ".join(f"{name} has {major}.{minor}" for name, (major, minor) in present.items())
        raise PluginError(f"fa4: needs compute capability 9.0 or 10.0; {found or 'there is no GPU'}.")
    return served
