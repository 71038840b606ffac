"""One layer of the model: attention, then a two-matrix network, each on a normalised input and added to the stream."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from nanoplug.contracts import Attention, Kernel, LayerCache, Mask
from nanoplug.model.attention_layer import AttentionLayer
from nanoplug.model.config import GPTConfig
from nanoplug.model.linear import Linear
from nanoplug.model.norm import NORM_EPS


class MLP(nn.Module):
    """C -> 4C -> C with relu(z)^2 between (So et al. 2021, arXiv:2109.08668)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = Linear(width, 4 * width)
        self.c_proj = Linear(4 * width, width)

    def forward(self, x_BTC: Tensor) -> Tensor:
        y_BTC: Tensor = self.c_proj(F.relu(self.c_fc(x_BTC)).square())
        return y_BTC


class Block(nn.Module):
    """(B, T, C) to (B, T, C)."""

    def __init__(self, config: GPTConfig, *, attention: Attention, decode_attention: Attention, kernel: Kernel) -> None:
        super().__init__()
        self.kernel = kernel
        self.attn = AttentionLayer(config, attention=attention, decode_attention=decode_attention, kernel=kernel)
        self.mlp = MLP(config.n_embd)

    def forward(
        self, x_BTC: Tensor, cos_BTE: Tensor, sin_BTE: Tensor, mask: Mask, cache: LayerCache | None = None
    ) -> Tensor:
        a_BTC = x_BTC + self.attn(self.kernel.rms_norm(x_BTC, eps=NORM_EPS), cos_BTE, sin_BTE, mask, cache)
        y_BTC: Tensor = a_BTC + self.mlp(self.kernel.rms_norm(a_BTC, eps=NORM_EPS))
        return y_BTC
