"""Modules whose master weights have a higher precision than what they compute.

Weights are fp32 and left unset: whoever owns a module initialises it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Linear(nn.Module):
    """x @ weight.T in the dtype of x. weight (outputs, inputs) is cast at each use; there is no bias."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype))


class Embedding(nn.Module):
    """Rows of weight (V, C) for integer ids, cast to dtype after they are gathered."""

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(rows, width, dtype=torch.float32))

    def forward(self, ids_BT: Tensor, dtype: torch.dtype) -> Tensor:
        return F.embedding(ids_BT, self.weight).to(dtype)
