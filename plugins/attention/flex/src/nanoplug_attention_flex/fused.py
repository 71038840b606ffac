"""The one call of flex_attention, compiled, which never runs unfused.

Outside of a compiled graph flex_attention works, but holds all T x S scores; torch does the same without an error where
a function was compiled for too many different inputs. Here both are errors.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from nanoplug.errors import PluginError

Run = Callable[[Tensor, Tensor, Tensor, BlockMask], Tensor]

# Distinct (shapes, dtype, kind of mask) that one process may compile; torch's own limit of 8 is for functions whose
# inputs should be alike.
MOST_SHAPES = 256


def fused(backend: str | Callable[..., object] = "inductor") -> Run:
    """A function of q (B, H, T, D), k and v (B, G, S, D) and a block mask that gives (B, H, T, D).

    Inside a graph that is being compiled it becomes part of it; outside it compiles itself, with torch.compile's
    `backend`. Raises PluginError where it would run unfused.
    """
    compiled = torch.compile(_flex, dynamic=False, fullgraph=True, backend=backend)

    def run(q_BHTD: Tensor, k_BGSD: Tensor, v_BGSD: Tensor, block_mask: BlockMask) -> Tensor:
        if torch.compiler.is_compiling():
            return _flex(q_BHTD, k_BGSD, v_BGSD, block_mask)
        limits = {"recompile_limit": MOST_SHAPES, "accumulated_recompile_limit": 2 * MOST_SHAPES}
        try:
            with torch._dynamo.config.patch(limits):
                return compiled(q_BHTD, k_BGSD, v_BGSD, block_mask)
        except torch._dynamo.exc.FailOnRecompileLimitHit as error:
            raise PluginError(
                f"flex: compiled for {MOST_SHAPES} different shapes in this process and will compile no more.",
                todo="Pad batches and sequences to fewer different sizes, or use another attention.",
            ) from error

    return run


def _flex(q_BHTD: Tensor, k_BGSD: Tensor, v_BGSD: Tensor, block_mask: BlockMask) -> Tensor:
    if not torch.compiler.is_dynamo_compiling():
        raise PluginError(
            "flex: torch.compile is switched off here, and flex_attention unfused would hold all T x S scores.",
            todo="See TORCHDYNAMO_DISABLE, torch.compiler.set_stance and dispatch modes, or use another attention.",
        )
    grouped = q_BHTD.shape[1] != k_BGSD.shape[1]
    output: Tensor = flex_attention(q_BHTD, k_BGSD, v_BGSD, block_mask=block_mask, enable_gqa=grouped)
    return output
