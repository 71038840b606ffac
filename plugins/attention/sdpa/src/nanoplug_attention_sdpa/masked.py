"""Masked attention that repeats no key head, and windows without a (T, T) mask."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

# Blocks smaller than this waste more on launches than they save on scores.
SMALLEST_BLOCK = 64


def attend_masked(q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, seen_BTS: Tensor | None) -> Tensor:
    """(B, T, H, D) where query t of row b reads the keys that `seen` (B or 1, T, S) allows; None allows all.

    The query heads of one key head become further queries: torch's masked kernels do not share key heads.
    """
    batch, tokens, heads, head_dim = q_BTHD.shape
    keys, groups = k_BSGD.shape[1:3]
    ratio = heads // groups
    k_BGSD, v_BGSD = k_BSGD.transpose(1, 2), v_BSGD.transpose(1, 2)
    mask = None if seen_BTS is None else seen_BTS[:, None]
    if ratio == 1:
        output_BHTD = scaled_dot_product_attention(q_BTHD.transpose(1, 2), k_BGSD, v_BGSD, attn_mask=mask)
        return output_BHTD.transpose(1, 2)
    q_BGRTD = q_BTHD.reshape(batch, tokens, groups, ratio, head_dim).permute(0, 2, 3, 1, 4)
    if mask is not None:
        mask = mask[:, :, None].expand(-1, -1, ratio, -1, -1).reshape(-1, 1, ratio * tokens, keys)
    q_BGQD = q_BGRTD.reshape(batch, groups, ratio * tokens, head_dim)
    output_BGQD = scaled_dot_product_attention(q_BGQD, k_BGSD, v_BGSD, attn_mask=mask)
    output_BGRTD = output_BGQD.reshape(batch, groups, ratio, tokens, head_dim)
    return output_BGRTD.permute(0, 3, 1, 2, 4).reshape(batch, tokens, heads, head_dim)


def visible_BTS(
    positions_BT: Tensor, first_key: int, last_key: int, window: int, segments_BT: Tensor | None = None
) -> Tensor:
    """(B, T, S) bool for queries at `positions_BT` and the keys from `first_key` up to, not including, `last_key`."""
    key_S = torch.arange(first_key, last_key, device=positions_BT.device)
    distance_BTS = positions_BT[:, :, None] - key_S
    seen_BTS = distance_BTS >= 0
    if window >= 0:
        seen_BTS = seen_BTS & (distance_BTS <= window)
    if segments_BT is not None:
        seen_BTS = seen_BTS & (segments_BT[:, :, None] == segments_BT[:, None, :])
    return seen_BTS


def block_size(window: int) -> int:
    """Queries in a block: at least the window, so that a block reads its own keys and the block before."""
    return -(-max(window, SMALLEST_BLOCK) // SMALLEST_BLOCK) * SMALLEST_BLOCK


def attend_in_blocks(q_BTHD: Tensor, k_BTGD: Tensor, v_BTGD: Tensor, window: int, segments_BT: Tensor | None) -> Tensor:
    """Causal attention with a window, S == T, in O(T x window) time and memory.

    Blocks of queries become rows of a batch (B x blocks): each reads the keys of its own block and of the one before.
    The first block has none before and goes alone. Padding stands behind the last token, where no real query looks.
    """
    batch, tokens = q_BTHD.shape[:2]
    block = block_size(window)
    count = -(-tokens // block)
    behind = (0, 0, 0, 0, 0, count * block - tokens)
    q_BNTHD, k_BNTGD, v_BNTGD = (
        pad(x, behind).reshape(batch, count, block, *x.shape[2:]) for x in (q_BTHD, k_BTGD, v_BTGD)
    )
    place_1T = torch.arange(block, device=q_BTHD.device)[None]
    segments_BNT = None
    if segments_BT is not None:
        segments_BNT = pad(segments_BT, behind[-2:]).reshape(batch, count, block)
    first_segments_BT = None if segments_BNT is None else segments_BNT[:, 0]
    first_BTHD = attend_masked(
        q_BNTHD[:, 0], k_BNTGD[:, 0], v_BNTGD[:, 0], visible_BTS(place_1T, 0, block, window, first_segments_BT)
    )
    seen_BTS = visible_BTS(place_1T, -block, block, window)
    if segments_BNT is not None:
        seen_BTS = seen_BTS & (segments_BNT[:, 1:, :, None] == _with_previous(segments_BNT)[:, :, None]).flatten(0, 1)
    rest_NTHD = attend_masked(
        q_BNTHD[:, 1:].flatten(0, 1),
        _with_previous(k_BNTGD).flatten(0, 1),
        _with_previous(v_BNTGD).flatten(0, 1),
        seen_BTS,
    )
    rest_BTHD = rest_NTHD.reshape(batch, (count - 1) * block, *q_BTHD.shape[2:])
    return torch.cat([first_BTHD, rest_BTHD], 1)[:, :tokens]


def _with_previous(x_BNT: Tensor) -> Tensor:
    """Each block but the first, the block before it in front: (B, N - 1, 2 * block, ...)."""
    return torch.cat([x_BNT[:, :-1], x_BNT[:, 1:]], dim=2)
