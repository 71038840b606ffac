"""Attention in chunks of queries, in plain torch operations."""

from __future__ import annotations

import torch
from torch import Tensor

from nanoplug.contracts import LayerCache, Mask, check_attention, check_cache
from nanoplug.errors import ConfigError
from nanoplug_attention_chunked.chunks import attend_rows, attend_training

NAME = "chunked"
DTYPES = ("fp32", "bf16", "fp16")


class ChunkedAttention:
    """Serves `nanoplug.contracts.Attention`, holding the fp32 scores of `chunk_rows` queries at once.

    A chunk reads only the keys that one of its queries sees; backward computes its scores again.
    """

    def __init__(self, chunk_rows: int = 1024) -> None:
        if isinstance(chunk_rows, bool) or not isinstance(chunk_rows, int) or chunk_rows < 1:
            raise ConfigError(f"{NAME}: chunk_rows is {chunk_rows!r}; it must be a whole number of at least 1.")
        self._chunk_rows = chunk_rows

    def attend(self, q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, *, mask: Mask) -> Tensor:
        """(B, T, H, D), as the contract says. Differentiable once."""
        check_attention(NAME, q_BTHD, k_BSGD, v_BSGD, mask, dtypes=DTYPES)
        output_BTHD: Tensor = attend_training(
            q_BTHD, k_BSGD, v_BSGD, mask.segments_BT, mask.causal, mask.window, self._chunk_rows
        )
        return output_BTHD

    def attend_cached(self, q_BTHD: Tensor, k_BTGD: Tensor, v_BTGD: Tensor, cache: LayerCache, *, mask: Mask) -> Tensor:
        """(B, T, H, D), as the contract says; everything it must know on the host is in `cache`."""
        check_attention(NAME, q_BTHD, k_BTGD, v_BTGD, mask, dtypes=DTYPES, cached=True)
        check_cache(NAME, k_BTGD, cache)
        tokens, held = q_BTHD.shape[1], cache.longest
        positions_BT = cache.lengths_B[:, None] + torch.arange(tokens, device=cache.lengths_B.device)
        if cache.uniform:
            cache.k_BSGD[:, held : held + tokens] = k_BTGD
            cache.v_BSGD[:, held : held + tokens] = v_BTGD
        else:
            rows_B1 = torch.arange(q_BTHD.shape[0], device=q_BTHD.device)[:, None]
            cache.k_BSGD[rows_B1, positions_BT] = k_BTGD
            cache.v_BSGD[rows_B1, positions_BT] = v_BTGD
        outputs = []
        for start in range(0, tokens, self._chunk_rows):
            stop = min(start + self._chunk_rows, tokens)
            # Only where all rows stand at one place does the host know which keys no row needs.
            first = max(0, held + start - mask.window) if mask.window >= 0 and cache.uniform else 0
            keys = slice(first, held + stop)
            distance_BTS = positions_BT[:, start:stop, None] - torch.arange(first, held + stop, device=q_BTHD.device)
            seen_BTS = distance_BTS >= 0
            if mask.window >= 0:
                seen_BTS = seen_BTS & (distance_BTS <= mask.window)
            outputs.append(attend_rows(q_BTHD[:, start:stop], cache.k_BSGD[:, keys], cache.v_BSGD[:, keys], seen_BTS))
        return torch.cat(outputs, 1)
