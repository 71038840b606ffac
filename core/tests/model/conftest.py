"""Plain backends for the model's tests: short, slow, and written from the contracts alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nanoplug.contracts import LayerCache, Mask
from nanoplug.model.gpt import GPT, GPTConfig


class PlainAttention:
    def attend(self, q: Tensor, k: Tensor, v: Tensor, *, mask: Mask) -> Tensor:
        query, key = torch.arange(q.shape[1])[:, None], torch.arange(k.shape[1])
        seen = key <= query
        if mask.window >= 0:
            seen = seen & (key >= query - mask.window)
        if mask.segments_BT is not None:
            seen = seen & (mask.segments_BT[:, :, None] == mask.segments_BT[:, None, :])
        return self._attend(q, k, v, seen)

    def attend_cached(self, q: Tensor, k: Tensor, v: Tensor, cache: LayerCache, *, mask: Mask) -> Tensor:
        position_BT = cache.lengths_B[:, None] + torch.arange(q.shape[1])
        for row, position_T in enumerate(position_BT.long()):
            cache.k_BSGD[row, position_T] = k[row]
            cache.v_BSGD[row, position_T] = v[row]
        key = torch.arange(cache.k_BSGD.shape[1])
        seen = key <= position_BT[..., None]
        if mask.window >= 0:
            seen = seen & (key >= position_BT[..., None] - mask.window)
        return self._attend(q, cache.k_BSGD, cache.v_BSGD, seen)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
        sharing = q.shape[2] // k.shape[2]
        k, v = k.repeat_interleave(sharing, 2), v.repeat_interleave(sharing, 2)
        scores_BHTS = torch.einsum("bthd,bshd->bhts", q, k) * q.shape[-1] ** -0.5
        seen = seen if seen.ndim == 2 else seen[:, None]
        return torch.einsum("bhts,bshd->bthd", scores_BHTS.masked_fill(~seen, float("-inf")).softmax(-1), v)


class PlainKernel:
    def rms_norm(self, x: Tensor, *, eps: float) -> Tensor:
        return (x.float() * (x.float().square().mean(-1, keepdim=True) + eps).rsqrt()).to(x.dtype)

    def rotary(self, x: Tensor, cos_BTE: Tensor, sin_BTE: Tensor) -> Tensor:
        x1, x2 = x.chunk(2, -1)
        cos, sin = cos_BTE[:, :, None].to(x.dtype), sin_BTE[:, :, None].to(x.dtype)
        return torch.cat([x1 * cos + x2 * sin, x2 * cos - x1 * sin], -1)

    def linear_cross_entropy(
        self,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        targets_N: Tensor,
        *,
        softcap: float | None = None,
        ignore_index: int = -1,
        reduction: str = "mean",
    ) -> Tensor:
        logits_NV = F.linear(hidden_ND, weight_VD).float()
        if softcap is not None:
            logits_NV = softcap * torch.tanh(logits_NV / softcap)
        return F.cross_entropy(logits_NV, targets_N, ignore_index=ignore_index, reduction=reduction)


class PlainCache:
    """One `LayerCache` for each layer; lengths may differ between rows."""

    def __init__(self, config: GPTConfig, lengths: list[int], capacity: int) -> None:
        shape = (config.n_layer, len(lengths), capacity, config.n_kv_head, config.head_dim)
        self.k, self.v = torch.zeros(shape), torch.zeros(shape)
        self.lengths_B = torch.tensor(lengths, dtype=torch.int32)

    @property
    def longest(self) -> int:
        return int(self.lengths_B.max())

    def layer(self, index: int) -> LayerCache:
        return LayerCache(self.k[index], self.v[index], self.lengths_B, self.longest, False)

    def positions_BT(self, tokens: int) -> Tensor:
        return self.lengths_B.long()[:, None] + torch.arange(tokens)

    def advance(self, tokens: int) -> None:
        self.lengths_B += tokens


@pytest.fixture
def small() -> GPTConfig:
    return GPTConfig(vocab_size=50, sequence_len=16, n_layer=3, n_head=4, n_kv_head=2, n_embd=32, window_pattern="SL")


@pytest.fixture
def attention() -> PlainAttention:
    return PlainAttention()


@pytest.fixture
def kernel() -> PlainKernel:
    return PlainKernel()


@pytest.fixture
def make_gpt(attention: Any, kernel: Any) -> Callable[..., GPT]:
    """`make_gpt(config, random=True, **GPT's arguments)`: every matrix random unless `random` is false."""

    def make(config: GPTConfig, *, random: bool = True, seed: int = 1, **arguments: Any) -> GPT:
        model = GPT(config, attention=attention, kernel=kernel, **arguments)
        model.init_weights(seed)
        if random:
            torch.manual_seed(seed)
            with torch.no_grad():
                for parameter in model.parameters():
                    scale = parameter.shape[-1] ** -0.5 if parameter.ndim == 2 else 0.3
                    parameter.add_(torch.randn(parameter.shape) * scale)
        return model

    return make


@pytest.fixture
def make_cache() -> type[PlainCache]:
    return PlainCache


@pytest.fixture
def rows() -> tuple[Tensor, Tensor]:
    """Tokens and targets (2, 16); one target is ignored."""
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(0, 50, (2, 17), generator=generator)
    targets = ids[:, 1:].clone()
    targets[0, 5] = -1
    return ids[:, :-1], targets
