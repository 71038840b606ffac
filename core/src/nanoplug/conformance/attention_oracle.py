"""Attention by the book: a boolean rule for who sees whom, a softmax in fp64, nothing clever.

The formula is that of Vaswani et al. 2017, "Attention Is All You Need"; grouped heads after Ainslie et al. 2023, "GQA":
query head h reads key/value head h // (H / G).
"""

from __future__ import annotations

import torch
from torch import Tensor

from nanoplug.contracts import LayerCache, Mask


def visible(mask: Mask, batch: int, tokens: int, keys: int) -> Tensor:
    """(B, T, S) bool on the CPU: whether query t of row b may read key s. The queries are the last T positions."""
    query_T1 = torch.arange(keys - tokens, keys)[:, None]
    key_1S = torch.arange(keys)[None, :]
    seen_TS = torch.ones(tokens, keys, dtype=torch.bool)
    if mask.causal:
        seen_TS &= key_1S <= query_T1
    if mask.window >= 0:
        seen_TS &= query_T1 - key_1S <= mask.window
    seen_BTS = seen_TS.expand(batch, tokens, keys)
    if mask.segments_BT is not None:
        segments_BT = mask.segments_BT.cpu()
        seen_BTS = seen_BTS & (segments_BT[:, :, None] == segments_BT[:, None, :])
    return seen_BTS


def attend_exactly(q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, mask: Mask) -> Tensor:
    """(B, T, H, D) in fp64 on the CPU. Differentiable."""
    q_BTHD, k_BSGD, v_BSGD = (x.cpu().double() for x in (q_BTHD, k_BSGD, v_BSGD))
    batch, tokens, heads, head_dim = q_BTHD.shape
    keys, groups = k_BSGD.shape[1:3]
    q_BTGRD = q_BTHD.reshape(batch, tokens, groups, heads // groups, head_dim)
    scores_BGRTS = torch.einsum("btgrd,bsgd->bgrts", q_BTGRD, k_BSGD) * head_dim**-0.5
    hidden_BTS = ~visible(mask, batch, tokens, keys)
    weights_BGRTS = scores_BGRTS.masked_fill(hidden_BTS[:, None, None], -torch.inf).softmax(-1)
    return torch.einsum("bgrts,bsgd->btgrd", weights_BGRTS, v_BSGD).reshape(q_BTHD.shape)


def attend_plainly(q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, mask: Mask) -> Tensor:
    """What the plain operation reaches in the dtype of q, on the CPU: fp32 accumulation, weights and output rounded."""
    dtype = q_BTHD.dtype
    q_BTHD, k_BSGD, v_BSGD = (x.cpu().float() for x in (q_BTHD, k_BSGD, v_BSGD))
    batch, tokens, heads, head_dim = q_BTHD.shape
    keys, groups = k_BSGD.shape[1:3]
    q_BTGRD = q_BTHD.reshape(batch, tokens, groups, heads // groups, head_dim)
    scores_BGRTS = torch.einsum("btgrd,bsgd->bgrts", q_BTGRD, k_BSGD) * head_dim**-0.5
    hidden_BTS = ~visible(mask, batch, tokens, keys)
    weights_BGRTS = scores_BGRTS.masked_fill(hidden_BTS[:, None, None], -torch.inf).softmax(-1).to(dtype).float()
    return torch.einsum("bgrts,bsgd->btgrd", weights_BGRTS, v_BSGD).reshape(q_BTHD.shape).to(dtype)


def rows_after_writing(k_BTGD: Tensor, v_BTGD: Tensor, cache: LayerCache) -> list[tuple[Tensor, Tensor]]:
    """For each row the keys and values that its cached call may read: those held, then the new ones. (1, S_b, G, D)."""
    rows = []
    for row, length in enumerate(cache.lengths_B.tolist()):
        held = slice(0, length)
        k_SGD = torch.cat([cache.k_BSGD[row, held], k_BTGD[row]])
        v_SGD = torch.cat([cache.v_BSGD[row, held], v_BTGD[row]])
        rows.append((k_SGD[None], v_SGD[None]))
    return rows
