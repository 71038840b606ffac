"""Attention through the Pallas kernels that JAX ships for TPUs: flash and splash.

Compiled for TPU, not executed on TPU.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad

from nanoplug.contracts import LayerCache, Mask, check_attention
from nanoplug.errors import ContractError
from nanoplug_attention_pallas.lengths import legal_head_dim, legal_length
from nanoplug_attention_pallas.manifest import HEAD_DIMS

NAME = "pallas"
DTYPES = ("fp32", "bf16")


class Kernels(Protocol):
    """The two kernels, causal, for lengths and head sizes that `lengths` calls legal. Differentiable.

    device_type: of the tensors that they take.
    """

    device_type: str

    def check(self, batch: int, heads: int, groups: int) -> None:
        """Raise an error unless these sizes can be split over the devices."""
        ...

    def flash(self, q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor, *, scale: float) -> Tensor:
        """(B, H, T, D); every query sees every key up to its own."""
        ...

    def splash(
        self, q_BHTD: Tensor, k_BGTD: Tensor, v_BGTD: Tensor, *, window: int, segments_BT: Tensor | None
    ) -> Tensor:
        """(B, H, T, D) of scores that are not scaled; `window` and int32 `segments_BT` as in `Mask`."""
        ...


class PallasAttention:
    """Serves the training call of `nanoplug.contracts.Attention` on XLA devices.

    Full causal attention with as many key heads as query heads goes to flash attention; windows, grouped heads and
    documents go to splash attention. Under SPMD the batch is split over the axis `data` of torch_xla's global mesh, and
    the heads over its axis `model`, if it has one.
    kernels: take the place of those called through torch_xla; for tests without a TPU.
    """

    def __init__(self, *, kernels: Kernels | None = None) -> None:
        if kernels is None:
            from nanoplug_attention_pallas.through_xla import ThroughXla

            kernels = ThroughXla()
        self._kernels = kernels

    def attend(self, q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, *, mask: Mask) -> Tensor:
        """(B, T, H, D), as the contract says, causal."""
        check_attention(NAME, q_BTHD, k_BSGD, v_BSGD, mask, dtypes=DTYPES)
        self._check(q_BTHD, k_BSGD, mask)
        tokens, head_dim, keys = q_BTHD.shape[1], q_BTHD.shape[3], k_BSGD.shape[1]
        # The kernels know as many queries as keys: rows before the first query are computed and dropped.
        q_BHTD = _padded(q_BTHD, before=keys - tokens)
        k_BGTD, v_BGTD = _padded(k_BSGD), _padded(v_BSGD)
        scale, window = head_dim**-0.5, mask.window if mask.window < keys - 1 else -1
        if window < 0 and mask.segments_BT is None and q_BTHD.shape[2] == k_BSGD.shape[2]:
            output_BHTD = self._kernels.flash(q_BHTD, k_BGTD, v_BGTD, scale=scale)
        else:
            segments_BT = _padded_segments(mask.segments_BT)
            output_BHTD = self._kernels.splash(q_BHTD * scale, k_BGTD, v_BGTD, window=window, segments_BT=segments_BT)
        return output_BHTD[:, :, keys - tokens : keys, :head_dim].transpose(1, 2)

    def attend_cached(self, q_BTHD: Tensor, k_BTGD: Tensor, v_BTGD: Tensor, cache: LayerCache, *, mask: Mask) -> Tensor:
        """Not served: the kernels read no cache."""
        raise ContractError(f"{NAME}: the cached call is not served.", todo="Choose another attention for decoding.")

    def _check(self, q_BTHD: Tensor, k_BSGD: Tensor, mask: Mask) -> None:
        """Raise ContractError for a device, a head size or a mask that is not served."""
        batch, _, heads, head_dim = q_BTHD.shape
        if q_BTHD.device.type != self._kernels.device_type:
            raise ContractError(
                f"{NAME}: the tensors are on {q_BTHD.device}; it serves {self._kernels.device_type}.",
                todo="Use another attention on this device.",
            )
        if head_dim not in HEAD_DIMS:
            raise ContractError(
                f"{NAME}: head size {head_dim} is not served; it serves multiples of {HEAD_DIMS.step} "
                f"from {HEAD_DIMS[0]} to {HEAD_DIMS[-1]}."
            )
        if not mask.causal:
            raise ContractError(f"{NAME}: causal=False is not served.", todo="Use an attention that declares it.")
        self._kernels.check(batch, heads, k_BSGD.shape[2])


def _padded(x_BTHD: Tensor, *, before: int = 0) -> Tensor:
    """(B, H, T, D) of a legal length and head size. Zeros behind the last key are hidden from every real query."""
    tokens, head_dim = before + x_BTHD.shape[1], x_BTHD.shape[3]
    behind, beside = legal_length(tokens) - tokens, legal_head_dim(head_dim) - head_dim
    if before or behind or beside:
        x_BTHD = pad(x_BTHD, (0, beside, 0, 0, before, behind))
    return x_BTHD.transpose(1, 2).contiguous()


def _padded_segments(segments_BT: Tensor | None) -> Tensor | None:
    """int32, of a legal length: the last document goes on, so that padding sees something."""
    if segments_BT is None:
        return None
    behind = legal_length(segments_BT.shape[1]) - segments_BT.shape[1]
    return torch.cat([segments_BT, segments_BT[:, -1:].expand(-1, behind)], 1).to(torch.int32)
