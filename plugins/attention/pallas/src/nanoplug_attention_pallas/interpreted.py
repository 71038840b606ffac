"""The same kernels on CPU tensors, in Pallas's interpreter, with JAX alone. For tests, where there is no TPU.

The blocks and masks are those with which `through_xla` calls them. The interpreter runs a kernel step by step in plain
XLA operations: right, slow, and with no word on memory or speed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import torch
from jax.experimental.pallas import tpu as pallas_tpu
from jax.experimental.pallas.ops.tpu import flash_attention as flash
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel, splash_attention_mask
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from nanoplug_attention_pallas.lengths import block

Function = Callable[..., Any]

# What is compiled here runs a few times at most.
QUICK = {"xla_backend_optimization_level": 0}


class Interpreted:
    """Serves `attention.Kernels` on the CPU. Each new shape or window is compiled for some seconds."""

    device_type = "cpu"

    def check(self, batch: int, heads: int, groups: int) -> None:
        """Nothing is split here."""

    def flash(self, q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor, *, scale: float) -> Tensor:
        output: Tensor = _Call.apply(_flash(scale), q_BHTD, k_BHTD, v_BHTD, None)
        return output

    def splash(
        self, q_BHTD: Tensor, k_BGTD: Tensor, v_BGTD: Tensor, *, window: int, segments_BT: Tensor | None
    ) -> Tensor:
        output: Tensor = _Call.apply(_splash(window), q_BHTD, k_BGTD, v_BGTD, segments_BT)
        return output


class _Call(torch.autograd.Function):
    """A compiled JAX function and its gradient, over DLPack."""

    @staticmethod
    def forward(ctx: Any, pair: tuple[Function, Function], *inputs: Tensor | None) -> Tensor:
        ctx.backward_of_pair = pair[1]
        ctx.save_for_backward(*inputs)
        return _run(pair[0], *inputs)[0]

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        return (None, *_run(ctx.backward_of_pair, *ctx.saved_tensors, *upstream), None)


def _run(function: Function, *inputs: Tensor | None) -> tuple[Tensor, ...]:
    arrays = [None if x is None else jax.dlpack.from_dlpack(x.detach().contiguous()) for x in inputs]
    with pallas_tpu.force_tpu_interpret_mode(True):
        return tuple(from_dlpack(array) for array in function(*arrays))


def _compiled(function: Function) -> tuple[Function, Function]:
    """Of q, k, v and segments: the output, and, given its gradient too, those of q, k and v."""

    def forward(q: Any, k: Any, v: Any, segments: Any) -> Any:
        return (function(q, k, v, segments),)

    def backward(q: Any, k: Any, v: Any, segments: Any, upstream: Any) -> Any:
        return jax.vjp(lambda *inputs: function(*inputs, segments), q, k, v)[1](upstream)

    return jax.jit(forward, compiler_options=QUICK), jax.jit(backward, compiler_options=QUICK)


@cache
def _flash(scale: float) -> tuple[Function, Function]:
    def call(q: Any, k: Any, v: Any, segments: Any) -> Any:
        size = block(q.shape[2])
        blocks = flash.BlockSizes(
            block_b=1,
            **dict.fromkeys(("block_q", "block_k_major", "block_k"), size),
            **dict.fromkeys(("block_q_major_dkv", "block_k_major_dkv", "block_k_dkv", "block_q_dkv"), size),
            block_q_dq=min(1024, q.shape[2]),
            block_k_major_dq=size,
            block_k_dq=min(256, q.shape[2]),
        )
        return flash.flash_attention(q, k, v, causal=True, sm_scale=scale, block_sizes=blocks)

    return _compiled(call)


@cache
def _splash(window: int) -> tuple[Function, Function]:
    def call(q: Any, k: Any, v: Any, segments: Any) -> Any:
        shape, size = (q.shape[2], q.shape[2]), block(q.shape[2])
        mask = splash_attention_mask.CausalMask(shape)
        if window >= 0:
            mask &= splash_attention_mask.LocalMask(shape, (window, window), 0)
        names = ("block_q", "block_kv", "block_kv_compute", "block_q_dkv", "block_kv_dkv", "block_kv_dkv_compute")
        blocks = splash_attention_kernel.BlockSizes(**dict.fromkeys((*names, "block_q_dq", "block_kv_dq"), size))
        kernel = splash_attention_kernel.make_splash_mha(
            mask=splash_attention_mask.MultiHeadMask([mask] * q.shape[1]),
            head_shards=1,
            q_seq_shards=1,
            block_sizes=blocks,
        )
        if segments is None:
            return jax.vmap(kernel)(q, k, v)
        return jax.vmap(kernel)(q, k, v, segment_ids=splash_attention_kernel.SegmentIds(segments, segments))

    return _compiled(call)
