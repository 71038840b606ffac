"""Attention through `torch.nn.attention.flex_attention`, compiled (Dong et al. 2024, arXiv:2412.05496)."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask
from torch.nn.functional import pad

from nanoplug.contracts import LayerCache, Mask, check_attention, check_cache
from nanoplug.errors import ContractError
from nanoplug_attention_flex.fused import Run, fused
from nanoplug_attention_flex.manifest import HEAD_DIMS
from nanoplug_attention_flex.visibility import BLOCK, Number, Visibility

NAME = "flex"
DTYPES = ("fp32", "bf16", "fp16")
KEPT_BLOCK_MASKS = 32


class FlexAttention:
    """Serves `nanoplug.contracts.Attention` on CUDA.

    Lengths are padded to whole blocks of 128 and every number of a mask is read from a tensor, so that what is compiled
    depends on the padded shapes, the dtype and the kind of mask alone.
    run: takes the place of the compiled call, on any device; for tests without a GPU.
    """

    def __init__(self, *, run: Run | None = None) -> None:
        self._run = run or fused()
        self._any_device = run is not None
        self._block_masks: OrderedDict[tuple[Any, ...], BlockMask] = OrderedDict()

    def attend(self, q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, *, mask: Mask) -> Tensor:
        """(B, T, H, D), as the contract says."""
        check_attention(NAME, q_BTHD, k_BSGD, v_BSGD, mask, dtypes=DTYPES)
        self._check(q_BTHD)
        tokens = q_BTHD.shape[1]
        block_mask = self._block_mask(tokens, k_BSGD.shape[1], mask, q_BTHD.device)
        q_BHTD, k_BGSD, v_BGSD = (_in_whole_blocks(x).transpose(1, 2) for x in (q_BTHD, k_BSGD, v_BSGD))
        return self._run(q_BHTD, k_BGSD, v_BGSD, block_mask).transpose(1, 2)[:, :tokens]

    def attend_cached(self, q_BTHD: Tensor, k_BTGD: Tensor, v_BTGD: Tensor, cache: LayerCache, *, mask: Mask) -> Tensor:
        """(B, T, H, D), as the contract says.

        The whole cache is passed, so that a step compiles nothing new, and the block mask, made on the device from
        `lengths_B`, lets each row read only the blocks that it holds.
        """
        check_attention(NAME, q_BTHD, k_BTGD, v_BTGD, mask, dtypes=DTYPES, cached=True)
        check_cache(NAME, k_BTGD, cache)
        self._check(q_BTHD)
        tokens, held, capacity = q_BTHD.shape[1], cache.longest, cache.k_BSGD.shape[1]
        if cache.uniform:
            cache.k_BSGD[:, held : held + tokens] = k_BTGD
            cache.v_BSGD[:, held : held + tokens] = v_BTGD
            if held == 0:
                return self.attend(q_BTHD, k_BTGD, v_BTGD, mask=mask)
        else:
            rows_B1 = torch.arange(q_BTHD.shape[0], device=q_BTHD.device)[:, None]
            places_BT = cache.lengths_B[:, None] + torch.arange(tokens, device=q_BTHD.device)
            cache.k_BSGD[rows_B1, places_BT] = k_BTGD
            cache.v_BSGD[rows_B1, places_BT] = v_BTGD
        window = _number(_distance(mask.window, capacity), q_BTHD.device)
        visibility = Visibility(causal=True, first=cache.lengths_B, window=window, keys=capacity)
        padded_BTHD = q_BTHD if tokens == 1 else _in_whole_blocks(q_BTHD)
        block_mask = visibility.block_mask(padded_BTHD.shape[1], capacity, q_BTHD.device, backward=False)
        q_BHTD, k_BGSD, v_BGSD = (x.transpose(1, 2) for x in (padded_BTHD, cache.k_BSGD, cache.v_BSGD))
        return self._run(q_BHTD, k_BGSD, v_BGSD, block_mask).transpose(1, 2)[:, :tokens]

    def _check(self, q_BTHD: Tensor) -> None:
        if q_BTHD.shape[3] not in HEAD_DIMS:
            raise ContractError(
                f"{NAME}: head size {q_BTHD.shape[3]} is not served; it serves multiples of {HEAD_DIMS.step} "
                f"from {HEAD_DIMS[0]} to {HEAD_DIMS[-1]}."
            )
        if not (self._any_device or q_BTHD.is_cuda):
            raise ContractError(
                f"{NAME}: needs CUDA tensors, got {q_BTHD.device}; flex_attention has no backward elsewhere.",
                todo="Use another attention on this device.",
            )

    def _block_mask(self, tokens: int, keys: int, mask: Mask, device: torch.device) -> BlockMask:
        """Made anew for segments, and inside a graph that is being compiled, as a part of it; kept otherwise."""
        window = _distance(mask.window, keys)
        if mask.segments_BT is not None or torch.compiler.is_compiling():
            return _build(tokens, keys, mask.causal, window, mask.segments_BT, device)
        key = (tokens, keys, mask.causal, window, device)
        kept = self._block_masks.pop(key, None)
        if kept is None:
            # Autograd refuses to save a tensor that was made in inference mode, and this one may serve training later.
            with torch.inference_mode(False):
                kept = _build(tokens, keys, mask.causal, window, None, device)
        self._block_masks[key] = kept
        if len(self._block_masks) > KEPT_BLOCK_MASKS:
            self._block_masks.popitem(last=False)
        return kept


def _build(
    tokens: int, keys: int, causal: bool, window: int, segments_BT: Tensor | None, device: torch.device
) -> BlockMask:
    first, distance, count = (_number(value, device) for value in (keys - tokens, window, keys))
    visibility = Visibility(
        causal=causal, first=first, window=distance, keys=count, segments_BS=_segments_in_whole_blocks(segments_BT)
    )
    return visibility.block_mask(_whole(tokens), _whole(keys), device, backward=True)


def _distance(window: int, keys: int) -> int:
    """The farthest distance that is seen; one that no key reaches where there is no window."""
    return keys if window < 0 else min(window, keys)


def _number(value: int, device: torch.device) -> Number:
    if torch.compiler.is_compiling():
        return value
    return torch.full((), value, dtype=torch.int32, device=device)


def _whole(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _in_whole_blocks(x_BTHD: Tensor) -> Tensor:
    """Zeros behind the last token: keys there are hidden, queries there are dropped."""
    missing = _whole(x_BTHD.shape[1]) - x_BTHD.shape[1]
    return pad(x_BTHD, (0, 0, 0, 0, 0, missing)) if missing else x_BTHD


def _segments_in_whole_blocks(segments_BT: Tensor | None) -> Tensor | None:
    """The last document goes on, so that the last block shows no document that is not in it."""
    if segments_BT is None or segments_BT.shape[1] % BLOCK == 0:
        return segments_BT
    missing = _whole(segments_BT.shape[1]) - segments_BT.shape[1]
    return torch.cat([segments_BT, segments_BT[:, -1:].expand(-1, missing)], 1)
