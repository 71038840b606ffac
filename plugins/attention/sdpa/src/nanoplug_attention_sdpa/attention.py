"""Attention through `torch.nn.functional.scaled_dot_product_attention`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from nanoplug.contracts import LayerCache, Mask, check_attention, check_cache
from nanoplug.errors import ConfigError, ContractError, nearest
from nanoplug_attention_sdpa.masked import attend_in_blocks, attend_masked, block_size, visible_BTS

DTYPES = ("fp32", "bf16", "fp16")
KERNELS = {
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}
# Forward and backward on an H200 at B 16, T 2048, H 16, D 128: cuDNN 2.23 ms, torch's FlashAttention-2 3.69 ms.
CUDNN_FIRST = (
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
)
CUDNN_IS_FASTER_ON = ((9, 0), (10, 0))


class SdpaAttention:
    """Serves `nanoplug.contracts.Attention`; `backend` as in the manifest's `Options`."""

    def __init__(self, backend: str = "auto") -> None:
        if backend not in ("auto", *KERNELS):
            raise ConfigError(
                f"sdpa: backend {backend!r} is unknown{nearest(backend, ['auto', *KERNELS])}.",
                todo=f"Use one of: auto, {', '.join(KERNELS)}.",
            )
        self._backend = backend
        self._order = _kernel_order(backend)
        windowed, flags = _flash_window() if backend in ("auto", "flash") else (None, {})
        self._flash_window, self._flash_flags = windowed, flags

    def attend(self, q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, *, mask: Mask) -> Tensor:
        """(B, T, H, D), as the contract says. The window goes in blocks; segments without one through a mask."""
        check_attention("sdpa", q_BTHD, k_BSGD, v_BSGD, mask, dtypes=DTYPES)
        tokens, keys = q_BTHD.shape[1], k_BSGD.shape[1]
        window = mask.window if mask.window < keys - 1 else -1
        segments_BT = mask.segments_BT
        if not mask.causal:
            seen_BTS = None if segments_BT is None else segments_BT[:, :, None] == segments_BT[:, None, :]
            return attend_masked(q_BTHD, k_BSGD, v_BSGD, seen_BTS)
        if segments_BT is None and window < 0 and tokens == keys:
            return self._plain_causal(q_BTHD, k_BSGD, v_BSGD)
        if segments_BT is None and tokens == keys and self._flash_serves(q_BTHD):
            return self._windowed_flash(q_BTHD, k_BSGD, v_BSGD, window)
        if window >= 0 and tokens == keys and tokens > 2 * block_size(window):
            return attend_in_blocks(q_BTHD, k_BSGD, v_BSGD, window, segments_BT)
        first = max(0, keys - tokens - window) if window >= 0 else 0
        positions_1T = torch.arange(keys - tokens, keys, device=q_BTHD.device)[None]
        seen_BTS = visible_BTS(positions_1T, first, keys, window, segments_BT)
        return attend_masked(q_BTHD, k_BSGD[:, first:], v_BSGD[:, first:], seen_BTS)

    def attend_cached(self, q_BTHD: Tensor, k_BTGD: Tensor, v_BTGD: Tensor, cache: LayerCache, *, mask: Mask) -> Tensor:
        """(B, T, H, D), as the contract says; everything it must know on the host is in `cache`."""
        check_attention("sdpa", q_BTHD, k_BTGD, v_BTGD, mask, dtypes=DTYPES, cached=True)
        check_cache("sdpa", k_BTGD, cache)
        tokens, held = q_BTHD.shape[1], cache.longest
        end = held + tokens
        positions_BT = cache.lengths_B[:, None] + torch.arange(tokens, device=cache.lengths_B.device)
        if cache.uniform:
            cache.k_BSGD[:, held:end] = k_BTGD
            cache.v_BSGD[:, held:end] = v_BTGD
            if held == 0:
                return self.attend(q_BTHD, k_BTGD, v_BTGD, mask=mask)
        else:
            rows_B1 = torch.arange(q_BTHD.shape[0], device=q_BTHD.device)[:, None]
            cache.k_BSGD[rows_B1, positions_BT] = k_BTGD
            cache.v_BSGD[rows_B1, positions_BT] = v_BTGD
        # Only where all rows stand at one place does the host know which keys no row needs.
        first = max(0, held - mask.window) if mask.window >= 0 and cache.uniform else 0
        k_BSGD, v_BSGD = cache.k_BSGD[:, first:end], cache.v_BSGD[:, first:end]
        if cache.uniform and tokens == 1:
            return attend_masked(q_BTHD, k_BSGD, v_BSGD, None)
        return attend_masked(q_BTHD, k_BSGD, v_BSGD, visible_BTS(positions_BT, first, end, mask.window))

    def _flash_serves(self, q_BTHD: Tensor) -> bool:
        head_dim = q_BTHD.shape[3]
        return (
            self._flash_window is not None
            and q_BTHD.is_cuda
            and q_BTHD.dtype != torch.float32
            and head_dim <= 256
            and head_dim % 8 == 0
        )

    def _windowed_flash(self, q_BTHD: Tensor, k_BTGD: Tensor, v_BTGD: Tensor, window: int) -> Tensor:
        """The rows of the batch as documents of one length, since only this call of torch's knows windows."""
        assert self._flash_window is not None
        batch, tokens = q_BTHD.shape[:2]
        bounds = torch.arange(0, batch * tokens + 1, tokens, dtype=torch.int32, device=q_BTHD.device)
        flat = (x.flatten(0, 1) for x in (q_BTHD, k_BTGD, v_BTGD))
        output: Tensor = self._flash_window(
            *flat, bounds, bounds, tokens, tokens, window_size=(window, 0), **self._flash_flags
        )
        return output.reshape(q_BTHD.shape)

    def _plain_causal(self, q_BTHD: Tensor, k_BTGD: Tensor, v_BTGD: Tensor) -> Tensor:
        q_BHTD, k_BGTD, v_BGTD = q_BTHD.transpose(1, 2), k_BTGD.transpose(1, 2), v_BTGD.transpose(1, 2)
        grouped = q_BTHD.shape[2] != k_BTGD.shape[2]
        if self._order is None or (self._backend == "auto" and not q_BTHD.is_cuda):
            output = scaled_dot_product_attention(q_BHTD, k_BGTD, v_BGTD, is_causal=True, enable_gqa=grouped)
            return output.transpose(1, 2)
        if self._backend != "auto":
            _check_kernel(self._backend, q_BTHD)
        with sdpa_kernel(list(self._order), set_priority=True):
            output = scaled_dot_product_attention(q_BHTD, k_BGTD, v_BGTD, is_causal=True, enable_gqa=grouped)
        return output.transpose(1, 2)


def _kernel_order(backend: str) -> Sequence[SDPBackend] | None:
    """Kernels to try in order; None leaves it to torch."""
    if backend != "auto":
        return (KERNELS[backend],)
    if torch.cuda.is_available() and torch.cuda.get_device_capability() in CUDNN_IS_FASTER_ON:
        return CUDNN_FIRST
    return None


def _flash_window() -> tuple[Callable[..., Any] | None, dict[str, bool]]:
    """torch's FlashAttention call that knows windows, if this torch and GPU have it, and the flags that it wants."""
    if not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 0):
        return None, {}
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:  # it came with torch 2.10
        return None, {}
    parameters = inspect.signature(varlen_attn).parameters
    if "window_size" not in parameters:
        return None, {}
    # Where the flag is missing, heads share keys without being asked.
    return varlen_attn, {"enable_gqa": True} if "enable_gqa" in parameters else {}


def _check_kernel(backend: str, q: Tensor) -> None:
    """Raise ContractError where torch has no such kernel for the tensor."""
    if backend in ("cudnn", "efficient") and not q.is_cuda:
        raise ContractError(
            f"sdpa: backend {backend!r} needs a CUDA tensor, got one on {q.device}.", todo="Use backend = 'auto'."
        )
    if backend in ("cudnn", "flash") and q.is_cuda and q.dtype == torch.float32:
        raise ContractError(
            f"sdpa: backend {backend!r} serves bf16 and fp16 on CUDA, got fp32.", todo="Use backend = 'auto'."
        )
