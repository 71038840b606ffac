"""Rotary position tables (Su et al. 2021, arXiv:2104.09864): cosine and sine for each position and pair of features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from nanoplug.errors import ContractError

BASE = 10_000.0


class Rotary(nn.Module):
    """Tables (P, E) in fp32 for positions 0..P-1, E = D / 2; feature pair j turns by position * BASE ** (-2j / D).

    They are no part of checkpoints, and stay fp32 whatever the module is converted to.
    """

    cos_PE: Tensor
    sin_PE: Tensor

    def __init__(self, head_dim: int, positions: int) -> None:
        super().__init__()
        self.head_dim = head_dim
        device = torch.empty(0).device
        for name, table_PE in zip(("cos_PE", "sin_PE"), _tables(positions, head_dim, device), strict=True):
            self.register_buffer(name, table_PE, persistent=False)

    @property
    def positions(self) -> int:
        """P: how many positions the tables hold now."""
        return self.cos_PE.shape[0]

    def reserve(self, positions: int) -> None:
        """Make sure that positions 0..positions-1 are there. Call it outside of a compiled graph."""
        if positions > self.positions:
            grown = max(positions, 2 * self.positions)
            self.cos_PE, self.sin_PE = _tables(grown, self.head_dim, self.cos_PE.device)

    def first(self, tokens: int) -> tuple[Tensor, Tensor]:
        """cos and sin (1, T, E) of positions 0..T-1. Raises ContractError if the tables are shorter."""
        if tokens > self.positions:
            raise ContractError(f"rotary: position {tokens - 1} is beyond the {self.positions} of the tables.")
        return self.cos_PE[None, :tokens], self.sin_PE[None, :tokens]

    def at(self, positions_BT: Tensor) -> tuple[Tensor, Tensor]:
        """cos and sin (B, T, E) of int64 positions (1 or B, T), each below `self.positions`."""
        return self.cos_PE[positions_BT], self.sin_PE[positions_BT]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        # Moves, `to_empty` and `half` pass here: the first loses nothing, the others lose the content or the precision.
        super()._apply(fn, recurse)
        self.cos_PE, self.sin_PE = _tables(self.positions, self.head_dim, self.cos_PE.device)
        return self


def _tables(positions: int, head_dim: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Computed in fp64 on the CPU and rounded once, so that they are the same on every device."""
    if device.type == "meta":
        shape = (positions, head_dim // 2)
        return (torch.empty(shape, dtype=torch.float32, device=device),) * 2
    pair_E = torch.arange(0, head_dim, 2, dtype=torch.float64, device="cpu") / head_dim
    position_P = torch.arange(positions, dtype=torch.float64, device="cpu")
    angle_PE = torch.outer(position_P, BASE**-pair_E)
    return angle_PE.cos().to(device, torch.float32), angle_PE.sin().to(device, torch.float32)
