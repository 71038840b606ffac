"""What flex_attention does with a block mask, written out. For tests, where there is no GPU to compile for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_mask


def attend_unfused(q_BHTD: Tensor, k_BGSD: Tensor, v_BGSD: Tensor, block_mask: BlockMask) -> Tensor:
    """(B, H, T, D) from q (B, H, T, D) and k, v (B, G, S, D); differentiable on every device.

    As in the kernels, `mask_mod` is asked in partial blocks alone, every place of a full block is seen, no other block
    is looked at, and a query without keys gives 0.
    """
    batch, heads, tokens, head_dim = q_BHTD.shape
    keys, groups = k_BGSD.shape[2], k_BGSD.shape[1]
    seen_B1TS = create_mask(block_mask.mask_mod, batch, 1, tokens, keys, str(q_BHTD.device))
    partial = _places(block_mask.kv_num_blocks, block_mask.kv_indices, block_mask, tokens, keys)
    whole = _places(block_mask.full_kv_num_blocks, block_mask.full_kv_indices, block_mask, tokens, keys)
    seen_B1TS = (seen_B1TS & partial) | whole
    k_BHSD, v_BHSD = (x.float().repeat_interleave(heads // groups, 1) for x in (k_BGSD, v_BGSD))
    scores_BHTS = (q_BHTD.float() @ k_BHSD.transpose(2, 3) * head_dim**-0.5).masked_fill(~seen_B1TS, -torch.inf)
    largest_BHT1 = scores_BHTS.detach().amax(-1, keepdim=True).clamp_min(torch.finfo(torch.float32).min)
    shares_BHTS = (scores_BHTS - largest_BHT1).exp()
    total_BHT1 = shares_BHTS.sum(-1, keepdim=True)
    weights_BHTS = shares_BHTS / torch.where(total_BHT1 == 0, 1, total_BHT1)
    output_BHTD: Tensor = (weights_BHTS @ v_BHSD).to(q_BHTD.dtype)
    return output_BHTD


def _places(counts: Tensor | None, order: Tensor | None, block_mask: BlockMask, tokens: int, keys: int) -> Tensor:
    """(1 or B, 1, T, S) bool: the places in the listed blocks."""
    assert counts is not None
    assert order is not None
    listed = torch.arange(order.shape[-1], device=order.device) < counts[..., None]
    blocks = torch.zeros_like(listed).scatter(-1, order.long(), listed)
    block_queries, block_keys = block_mask.BLOCK_SIZE
    return blocks.repeat_interleave(block_queries, 2).repeat_interleave(block_keys, 3)[:, :, :tokens, :keys]
