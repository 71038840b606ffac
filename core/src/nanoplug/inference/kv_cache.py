"""Keys and values of every layer, for generation one or more tokens at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nanoplug.contracts import LayerCache
from nanoplug.errors import ContractError


class KVCache:
    """Dense cache: k and v are (L, B, S, G, D) with S = `capacity_tokens`; rows may hold different lengths.

    Lengths are kept twice: on the device (`lengths_B`, int32) for attention, and on the host (`lengths`),
    so that overflow and uniformity are known without a synchronisation.
    """

    def __init__(
        self,
        n_layer: int,
        batch: int,
        capacity_tokens: int,
        n_kv_head: int,
        head_dim: int,
        dtype: torch.dtype,
        device: torch.device | str,
    ) -> None:
        shape = (n_layer, batch, capacity_tokens, n_kv_head, head_dim)
        if min(shape) < 1:
            raise ContractError(f"KVCache: (L, B, S, G, D) is {shape}; every size must be at least 1.")
        # Zeros, not uninitialised memory: a backend may read unused slots under a mask, and NaN * 0 is NaN.
        self.k_LBSGD = torch.zeros(shape, dtype=dtype, device=device)
        self.v_LBSGD = torch.zeros(shape, dtype=dtype, device=device)
        self.lengths_B = torch.zeros(batch, dtype=torch.int32, device=device)
        self.lengths = [0] * batch

    @property
    def batch(self) -> int:
        return self.k_LBSGD.shape[1]

    @property
    def capacity_tokens(self) -> int:
        return self.k_LBSGD.shape[2]

    @property
    def longest(self) -> int:
        """The largest of `lengths`; no synchronisation."""
        return max(self.lengths)

    @property
    def uniform(self) -> bool:
        """Whether all rows hold the same number of tokens; no synchronisation."""
        return min(self.lengths) == max(self.lengths)

    def layer(self, index: int) -> LayerCache:
        """Layer `index` as attention backends take it: views, so that what they write stays here."""
        return LayerCache(self.k_LBSGD[index], self.v_LBSGD[index], self.lengths_B, self.longest, self.uniform)

    def positions_BT(self, tokens: int) -> Tensor:
        """int64 (B, T): where the next `tokens` tokens of each row will sit."""
        steps_T = torch.arange(tokens, dtype=torch.int64, device=self.lengths_B.device)
        return self.lengths_B.to(torch.int64)[:, None] + steps_T

    def advance(self, tokens: int) -> None:
        """Count `tokens` more in every row; called once after the last layer has written them."""
        if tokens < 0 or self.longest + tokens > self.capacity_tokens:
            raise ContractError(
                f"KVCache: cannot advance by {tokens}: {self.longest} of {self.capacity_tokens} tokens are held."
            )
        self.lengths_B += tokens
        self.lengths = [length + tokens for length in self.lengths]

    def clear_row(self, row: int) -> None:
        """Forget what one row holds, so that it can no longer fill up before the others."""
        self.lengths_B[row] = 0
        self.lengths[row] = 0

    def reset(self) -> None:
        """Forget every row."""
        self.lengths_B.zero_()
        self.lengths = [0] * self.batch

    def prefill(self, *others: KVCache) -> None:
        """Copy the rows of `others`, in order, into this empty cache.

        One cache of batch 1 is broadcast to all rows. L, G, D and dtype must be equal, the capacity no smaller
        than the longest row held by the others; ContractError otherwise.
        """
        if self.longest:
            raise ContractError(f"KVCache: prefill needs an empty cache; this one holds {self.longest} tokens.")
        for other in others:
            self._check_source(other)
        sources = [others[0]] * self.batch if len(others) == 1 and others[0].batch == 1 else list(others)
        rows = sum(other.batch for other in sources)
        if rows != self.batch:
            raise ContractError(f"KVCache: prefill from {rows} rows into {self.batch}; they must be equal, or 1.")
        start = 0
        for other in sources:
            rows_here, held = slice(start, start + other.batch), slice(0, other.longest)
            self.k_LBSGD[:, rows_here, held] = other.k_LBSGD[:, :, held]
            self.v_LBSGD[:, rows_here, held] = other.v_LBSGD[:, :, held]
            self.lengths_B[rows_here] = other.lengths_B
            self.lengths[rows_here] = other.lengths
            start += other.batch

    def _check_source(self, other: KVCache) -> None:
        def layout(cache: KVCache) -> tuple[Sequence[int], torch.dtype]:
            sizes = cache.k_LBSGD.shape
            return (sizes[0], sizes[3], sizes[4]), cache.k_LBSGD.dtype

        if layout(other) != layout(self):
            raise ContractError(
                f"KVCache: prefill from (L, G, D), dtype {layout(other)}; this cache has {layout(self)}."
            )
        if other.longest > self.capacity_tokens:
            raise ContractError(
                f"KVCache: prefill of {other.longest} tokens into a capacity of {self.capacity_tokens}.",
                todo="Make the cache larger.",
            )
