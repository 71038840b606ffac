"""Self-attention of one layer: projections, rotation, norm of queries and keys, and somebody else's attention."""

from __future__ import annotations

from torch import Tensor, nn

from nanoplug.contracts import Attention, Kernel, LayerCache, Mask
from nanoplug.model.config import GPTConfig
from nanoplug.model.linear import Linear
from nanoplug.model.norm import NORM_EPS


class AttentionLayer(nn.Module):
    """(B, T, C) to (B, T, C). attention serves whole rows, decode_attention the calls with a cache."""

    def __init__(self, config: GPTConfig, *, attention: Attention, decode_attention: Attention, kernel: Kernel) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        self.attention = attention
        self.decode_attention = decode_attention
        self.kernel = kernel
        kv_width = config.n_kv_head * config.head_dim
        self.c_q = Linear(config.n_embd, config.n_embd)
        self.c_k = Linear(config.n_embd, kv_width)
        self.c_v = Linear(config.n_embd, kv_width)
        self.c_proj = Linear(config.n_embd, config.n_embd)

    def forward(
        self, x_BTC: Tensor, cos_BTE: Tensor, sin_BTE: Tensor, mask: Mask, cache: LayerCache | None = None
    ) -> Tensor:
        q_BTHD = self.c_q(x_BTC).unflatten(-1, (-1, self.head_dim))
        k_BTGD = self.c_k(x_BTC).unflatten(-1, (-1, self.head_dim))
        v_BTGD = self.c_v(x_BTC).unflatten(-1, (-1, self.head_dim))
        q_BTHD = self._norm(self.kernel.rotary(q_BTHD, cos_BTE, sin_BTE))
        k_BTGD = self._norm(self.kernel.rotary(k_BTGD, cos_BTE, sin_BTE))
        if cache is None:
            y_BTHD = self.attention.attend(q_BTHD, k_BTGD, v_BTGD, mask=mask)
        else:
            y_BTHD = self.decode_attention.attend_cached(q_BTHD, k_BTGD, v_BTGD, cache, mask=mask)
        y_BTC: Tensor = self.c_proj(y_BTHD.flatten(-2))
        return y_BTC

    def _norm(self, x: Tensor) -> Tensor:
        return self.kernel.rms_norm(x, eps=NORM_EPS)
