"""The GPT: token ids to a loss in training, or to logits for evaluation and generation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from nanoplug.contracts import Attention, Kernel, LayerCache, Mask, Reduction
from nanoplug.errors import ContractError
from nanoplug.model.block import Block
from nanoplug.model.config import GPTConfig
from nanoplug.model.linear import Embedding, Linear
from nanoplug.model.norm import NORM_EPS
from nanoplug.model.rotary import Rotary

__all__ = ["GPT", "Cache", "GPTConfig"]


class Cache(Protocol):
    """Keys and values of all layers. longest: most tokens held by a row, known on the host."""

    @property
    def longest(self) -> int: ...

    def layer(self, index: int) -> LayerCache: ...

    def positions_BT(self, tokens: int) -> Tensor:
        """int64 (1 or B, T): the positions of the next T tokens of each row."""
        ...

    def advance(self, tokens: int) -> None:
        """Count T more tokens in every row; called once after the last layer has written them."""
        ...


class GPT(nn.Module):
    """A decoder-only transformer with rotary positions, QK norm, and a weighted path from the embedding to each block.

    Weights are fp32 masters, cast to `compute_dtype` at use; the stream between blocks has `compute_dtype`. The
    constructor leaves them unset: call `init_weights`, after `to_empty` if it was built under the meta device.

    attention, kernel: serve every op of the forward. decode_attention: serves calls with a cache, `attention` if None.
    checkpointed: `Device.checkpointed` to recompute each block in backward, or None.
    """

    def __init__(
        self,
        config: GPTConfig,
        *,
        attention: Attention,
        kernel: Kernel,
        decode_attention: Attention | None = None,
        compute_dtype: torch.dtype = torch.float32,
        checkpointed: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.kernel = kernel
        self.compute_dtype = compute_dtype
        self.checkpointed = checkpointed
        self.windows = config.windows()
        self.masks = {window: Mask(window=window) for window in self.windows}
        # A compiled training step depends on the size of its tables, so the tables that grow are others.
        self.rotary = Rotary(config.head_dim, config.sequence_len)
        self.growing_rotary = Rotary(config.head_dim, config.sequence_len)
        self.wte = Embedding(config.padded_vocab_size, config.n_embd)
        self.lm_head = Linear(config.n_embd, config.padded_vocab_size)
        self.resid_lambdas = nn.Parameter(torch.empty(config.n_layer, dtype=torch.float32))
        self.x0_lambdas = nn.Parameter(torch.empty(config.n_layer, dtype=torch.float32))
        decode_attention = attention if decode_attention is None else decode_attention
        self.blocks = nn.ModuleList(
            Block(config, attention=attention, decode_attention=decode_attention, kernel=kernel)
            for _ in range(config.n_layer)
        )

    @torch.no_grad()
    def init_weights(self, seed: int) -> None:
        """Set every parameter. The same seed gives the same weights on every device.

        Raises ContractError while parameters are on the meta device.
        """
        if any(parameter.is_meta for parameter in self.parameters()):
            raise ContractError(
                "init_weights: the model is on the meta device.", todo="Call to_empty(device=...) first."
            )
        generator = torch.Generator("cpu").manual_seed(seed)

        def draw(parameter: Tensor, distribution: str, *bounds: float) -> None:
            values = torch.empty(parameter.shape, dtype=torch.float32, device="cpu")
            getattr(values, distribution)(*bounds, generator=generator)
            parameter.copy_(values)

        draw(self.wte.weight, "normal_", 0.0, 1.0)
        draw(self.lm_head.weight, "normal_", 0.0, 0.001)
        self.resid_lambdas.fill_(1.0)
        self.x0_lambdas.zero_()
        bound = math.sqrt(3 / self.config.n_embd)
        for block in cast("list[Block]", self.blocks):
            for linear in (block.attn.c_q, block.attn.c_k, block.attn.c_v, block.mlp.c_fc):
                draw(linear.weight, "uniform_", -bound, bound)
            block.attn.c_proj.weight.zero_()
            block.mlp.c_proj.weight.zero_()

    def forward(
        self,
        tokens_BT: Tensor,
        targets_BT: Tensor,
        segments_BT: Tensor | None = None,
        *,
        reduction: Reduction = "mean",
    ) -> Tensor:
        """Cross entropy of int64 targets in nats, fp32; targets of -1 do not count.

        `mean` and `sum` give a scalar, `none` gives (B, T) with 0 at targets of -1. segments_BT: numbers of
        documents, each of which then sees itself only. In train mode the padded vocabulary rows take part in the
        softmax; in eval mode they do not. Raises ContractError if T is above `config.sequence_len`.
        """
        tokens = tokens_BT.shape[1]
        if tokens > self.config.sequence_len:
            raise ContractError(
                f"GPT: rows of {tokens} tokens; the model was built for at most {self.config.sequence_len}.",
                todo="Use shorter rows, or a model with a larger sequence_len.",
            )
        masks = self.masks
        if segments_BT is not None:
            masks = {window: Mask(window=window, segments_BT=segments_BT) for window in self.masks}
        hidden_BTC = self._hidden(tokens_BT, *self.rotary.first(tokens), masks)
        loss = self.kernel.linear_cross_entropy(
            hidden_BTC.flatten(0, 1),
            self._head_weight(padded=self.training).to(self.compute_dtype),
            targets_BT.flatten(),
            softcap=self.config.softcap,
            reduction=reduction,
        )
        return loss.view(targets_BT.shape) if reduction == "none" else loss

    def logits(self, tokens_BT: Tensor, *, cache: Cache | None = None, last_only: bool = False) -> Tensor:
        """Capped logits, fp32, (B, T, V), or (B, 1, V) of the last position; padded vocabulary rows dropped.

        With a cache, tokens follow those that it holds, are written into it, and it is advanced by T. T is not
        limited by `config.sequence_len`. Raises ContractError before any write if the cache has no room for T.
        """
        tokens = tokens_BT.shape[1]
        if cache is None:
            self.reserve_positions(tokens)
            hidden_BTC = self._hidden(tokens_BT, *self.growing_rotary.first(tokens), self.masks)
        else:
            capacity = cache.layer(0).k_BSGD.shape[1]
            if cache.longest + tokens > capacity:
                raise ContractError(
                    f"GPT: the cache holds {cache.longest} tokens and {tokens} are new; its capacity is {capacity}.",
                    todo="Make the cache larger, or stop generating.",
                )
            self.reserve_positions(capacity)
            tables = self.growing_rotary.at(cache.positions_BT(tokens))
            hidden_BTC = self._hidden(tokens_BT, *tables, self.masks, cache)
            cache.advance(tokens)
        if last_only:
            hidden_BTC = hidden_BTC[:, -1:]
        weight_VC = self._head_weight(padded=False).to(self.compute_dtype)
        logits_BTV = nn.functional.linear(hidden_BTC, weight_VC).float()
        softcap = self.config.softcap
        return logits_BTV if softcap is None else softcap * torch.tanh(logits_BTV / softcap)

    def reserve_positions(self, positions: int) -> None:
        """Grow the position tables of `logits`; call it before `logits` is compiled, which cannot grow them."""
        self.growing_rotary.reserve(positions)

    def _hidden(
        self, tokens_BT: Tensor, cos_BTE: Tensor, sin_BTE: Tensor, masks: Mapping[int, Mask], cache: Cache | None = None
    ) -> Tensor:
        """Normalised output of the last block, (B, T, C) in `compute_dtype`."""
        x0_BTC = self.kernel.rms_norm(self.wte(tokens_BT, self.compute_dtype), eps=NORM_EPS)
        x_BTC = x0_BTC
        resid_L = self.resid_lambdas.to(self.compute_dtype).unbind()
        x0w_L = self.x0_lambdas.to(self.compute_dtype).unbind()
        for index, (window, resid, x0w) in enumerate(zip(self.windows, resid_L, x0w_L, strict=True)):
            layer_cache = None if cache is None else cache.layer(index)
            layer = partial(self._layer, index, cos_BTE, sin_BTE, masks[window], layer_cache)
            if self.checkpointed is not None and self.training:
                x_BTC = self.checkpointed(layer, x_BTC, x0_BTC, resid, x0w)
            else:
                x_BTC = layer(x_BTC, x0_BTC, resid, x0w)
        return self.kernel.rms_norm(x_BTC, eps=NORM_EPS)

    def _layer(
        self,
        index: int,
        cos_BTE: Tensor,
        sin_BTE: Tensor,
        mask: Mask,
        cache: LayerCache | None,
        x_BTC: Tensor,
        x0_BTC: Tensor,
        resid: Tensor,
        x0w: Tensor,
    ) -> Tensor:
        y_BTC: Tensor = self.blocks[index](resid * x_BTC + x0w * x0_BTC, cos_BTE, sin_BTE, mask, cache)
        return y_BTC

    def _head_weight(self, *, padded: bool) -> Tensor:
        return self.lm_head.weight if padded else self.lm_head.weight[: self.config.vocab_size]
