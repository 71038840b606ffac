"""Attention through FlashAttention-3."""

from __future__ import annotations

import torch
from torch import Tensor

from nanoplug.contracts import LayerCache, Mask, check_attention, check_cache
from nanoplug.errors import ConfigError, ContractError, PluginError
from nanoplug_attention_fa3 import operators
from nanoplug_attention_fa3.documents import document_bounds, document_limit
from nanoplug_attention_fa3.library import Library, load_library

DTYPES = ("bf16", "fp16")
LARGEST_HEAD = 256
LARGEST_DETERMINISTIC_HEAD = 192


class Fa3Attention:
    """Serves `nanoplug.contracts.Attention` on CUDA; options as in the manifest.

    source: the library that was found, with its version.
    """

    def __init__(self, deterministic: bool = False, tokens_per_document: int = 128) -> None:
        if tokens_per_document < 1:
            raise ConfigError(f"fa3: tokens_per_document is {tokens_per_document}; it must be at least 1.")
        library = load_library()
        self.source = library.source
        self._devices = served_devices(library)
        self._deterministic, self._tokens_per_document = deterministic, tokens_per_document

    def attend(self, q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, *, mask: Mask) -> Tensor:
        """(B, T, H, D), as the contract says. With documents, the rows are laid end to end and cut at their bounds."""
        check_attention("fa3", q_BTHD, k_BSGD, v_BSGD, mask, dtypes=DTYPES)
        self._check(q_BTHD)
        how = (mask.causal, mask.window, self._deterministic)
        if mask.segments_BT is None:
            output_BTHD: Tensor = operators.attend(q_BTHD, k_BSGD, v_BSGD, None, 0, *how)[0]
            return output_BTHD
        batch, tokens = q_BTHD.shape[:2]
        bounds = document_bounds(mask.segments_BT, document_limit(batch, tokens, self._tokens_per_document))
        q_NHD, k_NGD, v_NGD = (x.flatten(0, 1) for x in (q_BTHD, k_BSGD, v_BSGD))
        output_NHD: Tensor = operators.attend(q_NHD, k_NGD, v_NGD, bounds, tokens, *how)[0]
        return output_NHD.reshape(q_BTHD.shape)

    def attend_cached(self, q_BTHD: Tensor, k_BTGD: Tensor, v_BTGD: Tensor, cache: LayerCache, *, mask: Mask) -> Tensor:
        """(B, T, H, D), as the contract says; the kernel reads each row's length on the device."""
        check_attention("fa3", q_BTHD, k_BTGD, v_BTGD, mask, dtypes=DTYPES, cached=True)
        check_cache("fa3", k_BTGD, cache)
        self._check(q_BTHD)
        if cache.lengths_B.dtype != torch.int32:
            raise ContractError(f"fa3: cache lengths are {cache.lengths_B.dtype}; they must be torch.int32.")
        output: Tensor = operators.attend_cached(
            q_BTHD, k_BTGD, v_BTGD, cache.k_BSGD, cache.v_BSGD, cache.lengths_B, mask.window
        )
        return output

    def _check(self, q_BTHD: Tensor) -> None:
        """Raise ContractError for a device or a head size that the library is not built for."""
        if q_BTHD.device not in self._devices:
            served = ", ".join(map(str, self._devices))
            raise ContractError(f"fa3: the tensors are on {q_BTHD.device}; {self.source} serves {served} here.")
        head_dim = q_BTHD.shape[3]
        if head_dim % 8 or head_dim > LARGEST_HEAD:
            raise ContractError(f"fa3: head size {head_dim} is not served; it must be a multiple of 8 up to 256.")
        if self._deterministic and head_dim > LARGEST_DETERMINISTIC_HEAD:
            raise ContractError(
                f"fa3: head size {head_dim} has no deterministic backward; it must be at most 192.",
                todo="Set deterministic = false, or use another attention.",
            )


def served_devices(library: Library) -> tuple[torch.device, ...]:
    """CUDA devices of this process that the library is built for. Raises PluginError if there is none."""
    present = {f"cuda:{index}": torch.cuda.get_device_capability(index) for index in range(torch.cuda.device_count())}
    served = tuple(torch.device(name) for name, capability in present.items() if capability in library.capabilities)
    if not served:
        wanted = " or ".join(f"{major}.{minor}" for major, minor in library.capabilities)
        found = ", ".join(f"{name} has {major}.{minor}" for name, (major, minor) in present.items())
        raise PluginError(f"fa3: {library.source} needs compute capability {wanted}; {found or 'there is no GPU'}.")
    return served
