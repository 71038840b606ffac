"""Softmax attention written out, a block of queries at a time. Imported only when chosen."""

import torch

from nanoplug.contracts import check_attention, check_cache

DTYPES = ("fp32", "bf16")


class AcmeAttention:
    def __init__(self, *, block_tokens):
        self.block_tokens = block_tokens

    def attend(self, q_BTHD, k_BSGD, v_BSGD, *, mask):
        check_attention("acme", q_BTHD, k_BSGD, v_BSGD, mask, dtypes=DTYPES)
        batch, tokens, keys = q_BTHD.shape[0], q_BTHD.shape[1], k_BSGD.shape[1]
        positions_BT = torch.arange(keys - tokens, keys, device=q_BTHD.device).expand(batch, tokens)
        return self._blocks(q_BTHD, k_BSGD, v_BSGD, positions_BT, mask)

    def attend_cached(self, q_BTHD, k_BTGD, v_BTGD, cache, *, mask):
        check_attention("acme", q_BTHD, k_BTGD, v_BTGD, mask, dtypes=DTYPES, cached=True)
        check_cache("acme", k_BTGD, cache)
        batch, tokens = q_BTHD.shape[:2]
        positions_BT = cache.lengths_B[:, None] + torch.arange(tokens, device=cache.lengths_B.device)
        rows_B1 = torch.arange(batch, device=q_BTHD.device)[:, None]
        cache.k_BSGD[rows_B1, positions_BT] = k_BTGD
        cache.v_BSGD[rows_B1, positions_BT] = v_BTGD
        end = cache.longest + tokens
        return self._blocks(q_BTHD, cache.k_BSGD[:, :end], cache.v_BSGD[:, :end], positions_BT, mask)

    def _blocks(self, q_BTHD, k_BSGD, v_BSGD, positions_BT, mask):
        group = q_BTHD.shape[2] // k_BSGD.shape[2]
        k = k_BSGD.float().repeat_interleave(group, dim=2)
        # Slots of a cache that no query sees may hold anything, and 0 * NaN is NaN.
        v = torch.where(_written(positions_BT, k.shape[1])[:, :, None, None], v_BSGD, 0).float()
        v = v.repeat_interleave(group, dim=2)
        scale = q_BTHD.shape[-1] ** -0.5
        blocks = []
        for start in range(0, q_BTHD.shape[1], self.block_tokens):
            block = slice(start, start + self.block_tokens)
            scores_BHTS = torch.einsum("bthd,bshd->bhts", q_BTHD[:, block].float() * scale, k)
            hidden_BTS = ~_visible(positions_BT[:, block], k.shape[1], mask, block)
            weights = scores_BHTS.masked_fill(hidden_BTS[:, None], float("-inf")).softmax(-1)
            blocks.append(torch.einsum("bhts,bshd->bthd", weights, v))
        return torch.cat(blocks, dim=1).to(q_BTHD.dtype)


def _written(positions_BT, keys):
    return torch.arange(keys, device=positions_BT.device)[None] <= positions_BT[:, -1:]


def _visible(positions_BT, keys, mask, block):
    key_S = torch.arange(keys, device=positions_BT.device)
    visible = torch.ones(*positions_BT.shape, keys, dtype=torch.bool, device=positions_BT.device)
    if mask.causal:
        visible &= key_S <= positions_BT[..., None]
    if mask.window >= 0:
        visible &= key_S >= positions_BT[..., None] - mask.window
    if mask.segments_BT is not None:
        visible &= mask.segments_BT[:, block, None] == mask.segments_BT[:, None, :]
    return visible
