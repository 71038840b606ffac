"""Who sees whom, for flex_attention: place by place, and by blocks of 128 queries and 128 keys.

torch's own `create_block_mask` looks at every one of T x S places. Causality, a window and documents can be judged by
the ends of a block, so that here T x S / 128^2 pairs are looked at, on the device and without waiting for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

BLOCK = 128

# An int where the surrounding graph may hold it as a constant; a 0-dim int32 tensor where one compiled function must
# serve every value of it.
Number = int | Tensor
MaskMod = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Visibility:
    """Query t of row b stands at place first + t. Under `causal` it sees keys at distance 0..window behind it.

    first: a Number, or int32 (B,) where rows stand at places of their own. window: a distance that no key exceeds
    where there is no window. keys: how many there are before padding; they are counted where nothing is causal.
    segments_BS: integers, as long as the padded keys, or None.
    """

    causal: bool
    first: Number
    window: Number
    keys: Number
    segments_BS: Tensor | None = None

    def mask_mod(self) -> MaskMod:
        """The rule for one place. One code object whatever the values, so that a new value compiles nothing."""
        causal, first, window, keys, segments_BS = self.causal, self.first, self.window, self.keys, self.segments_BS
        by_row = isinstance(first, Tensor) and first.ndim == 1

        def sees(b: Tensor, h: Tensor, query: Tensor, key: Tensor) -> Tensor:
            if causal:
                distance = query - key + (first[b] if by_row else first)  # type: ignore[index]
                seen = (distance >= 0) & (distance <= window)
            else:
                seen = key < keys
            if segments_BS is not None:
                seen = seen & (segments_BS[b, query] == segments_BS[b, key])
            return seen

        return sees

    def block_mask(self, tokens: int, keys: int, device: torch.device, *, backward: bool) -> BlockMask:
        """For q of `tokens` (1, or padded to whole blocks) and k of `keys`. backward: with what gradients need."""
        some_RNM, all_RNM = self._blocks(tokens, keys, device)
        partial, whole = _ordered(some_RNM & ~all_RNM), _ordered(all_RNM)
        return BlockMask.from_kv_blocks(
            *partial,
            *whole,
            BLOCK_SIZE=BLOCK,
            mask_mod=self.mask_mod(),
            seq_lengths=(tokens, keys),
            compute_q_blocks=backward,
        )

    def _blocks(self, tokens: int, keys: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """(1 or B, N, M) bool twice: query block n may see a key of key block m; all its queries see all its keys."""
        query_N, key_M = (BLOCK * torch.arange(-(-size // BLOCK), device=device) for size in (tokens, keys))
        key_end_M = key_M + BLOCK - 1
        whole_M = key_end_M < keys
        if self.causal:
            first = self.first.reshape(-1, 1, 1) if isinstance(self.first, Tensor) else self.first
            start_RN1 = query_N[None, :, None] + first
            nearest_RNM = start_RN1 - key_end_M
            farthest_RNM = start_RN1 + (min(BLOCK, tokens) - 1) - key_M
            some_RNM = (farthest_RNM >= 0) & (nearest_RNM <= self.window)
            all_RNM = (nearest_RNM >= 0) & (farthest_RNM <= self.window) & whole_M
        else:
            some_RNM = (key_M < self.keys).expand(1, query_N.shape[0], -1)
            all_RNM = some_RNM & (key_end_M < self.keys) & whole_M
        if self.segments_BS is not None:
            low_BM, high_BM = self.segments_BS.unflatten(1, (-1, BLOCK)).aminmax(dim=-1)
            low_BN1, high_BN1 = low_BM[:, :, None], high_BM[:, :, None]
            low_B1M, high_B1M = low_BM[:, None], high_BM[:, None]
            # Ranges that overlap need not share a number; such a block is looked at place by place, which is right too.
            some_RNM = some_RNM & (low_BN1 <= high_B1M) & (low_B1M <= high_BN1)
            all_RNM = all_RNM & (low_BN1 == high_B1M) & (high_BN1 == low_B1M)
        if tokens % BLOCK:  # as torch's own block masks: a block of queries that is not filled is never whole
            all_RNM = torch.zeros_like(all_RNM)
        return some_RNM, all_RNM


def _ordered(blocks_RNM: Tensor) -> tuple[Tensor, Tensor]:
    """How many key blocks each query block has (R, 1, N), and which, first those (R, 1, N, M); int32."""
    marks_R1NM = blocks_RNM[:, None].to(torch.int8)
    order_R1NM = marks_R1NM.argsort(dim=-1, descending=True, stable=True)
    return marks_R1NM.sum(-1, dtype=torch.int32), order_R1NM.to(torch.int32)
