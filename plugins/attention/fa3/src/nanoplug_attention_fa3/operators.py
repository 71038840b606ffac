"""FlashAttention-3 as operators of our own, so that a compiled model holds each call as one node.

`bounds` gives the documents as `(N + 1,)` int32 offsets into rows laid end to end, (B * T, H, D); None stands for
(B, T, H, D). `longest` is then the longest document that there may be. window: -1 is unlimited.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

ALIGNMENT = 8  # elements of two bytes in the 16 bytes that the copy engine wants


@torch.library.custom_op(
    "nanoplug_fa3::attend",
    mutates_args=(),
    schema="(Tensor q, Tensor k, Tensor v, Tensor? bounds, int longest, bool causal, int window, bool deterministic)"
    " -> (Tensor, Tensor)",
)
def attend(
    q: Tensor, k: Tensor, v: Tensor, bounds: Tensor | None, longest: int, causal: bool, window: int, deterministic: bool
) -> tuple[Tensor, Tensor]:
    """Output in the shape of q, and the log-sum-exp of the scores, fp32 (B, H, T) or (H, B * T)."""
    output, log_sum, *_ = torch.ops.flash_attn_3.fwd(
        aligned(q), aligned(k), aligned(v), num_splits=1, **_mask(bounds, longest, causal, window)
    )
    return output, log_sum


@attend.register_fake
def _attend_shapes(
    q: Tensor, k: Tensor, v: Tensor, bounds: Tensor | None, longest: int, causal: bool, window: int, deterministic: bool
) -> tuple[Tensor, Tensor]:
    batch_tokens, heads = q.shape[:-2], q.shape[-2]
    log_sum = (batch_tokens[0], heads, batch_tokens[1]) if bounds is None else (heads, batch_tokens[0])
    return q.new_empty(q.shape), q.new_empty(log_sum, dtype=torch.float32)


@torch.library.custom_op(
    "nanoplug_fa3::attend_backward",
    mutates_args=(),
    schema="(Tensor upstream, Tensor q, Tensor k, Tensor v, Tensor output, Tensor log_sum, Tensor? bounds, int longest,"
    " bool causal, int window, bool deterministic) -> (Tensor, Tensor, Tensor)",
)
def attend_backward(
    upstream: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    output: Tensor,
    log_sum: Tensor,
    bounds: Tensor | None,
    longest: int,
    causal: bool,
    window: int,
    deterministic: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q, k and v."""
    dq, dk, dv = (x.new_empty(x.shape) for x in (q, k, v))
    torch.ops.flash_attn_3.bwd(
        aligned(upstream),
        aligned(q),
        aligned(k),
        aligned(v),
        aligned(output),
        log_sum.contiguous(),
        dq=dq,
        dk=dk,
        dv=dv,
        deterministic=deterministic,
        **_mask(bounds, longest, causal, window),
    )
    return dq, dk, dv


@attend_backward.register_fake
def _attend_backward_shapes(
    upstream: Tensor, q: Tensor, k: Tensor, v: Tensor, *rest: object
) -> tuple[Tensor, Tensor, Tensor]:
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    q, k, v, bounds, *ctx.how = inputs
    ctx.save_for_backward(q, k, v, *output, bounds)
    ctx.mark_non_differentiable(output[1])


def _differentiate(ctx: Any, upstream: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
    q, k, v, output, log_sum, bounds = ctx.saved_tensors
    gradients = attend_backward(upstream, q, k, v, output, log_sum, bounds, *ctx.how)
    return (*gradients, None, None, None, None, None)


attend.register_autograd(_differentiate, setup_context=_save)


@torch.library.custom_op(
    "nanoplug_fa3::attend_cached",
    mutates_args=("k_held", "v_held"),
    schema="(Tensor q, Tensor k, Tensor v, Tensor(a!) k_held, Tensor(b!) v_held, Tensor lengths, int window) -> Tensor",
)
def attend_cached(
    q: Tensor, k: Tensor, v: Tensor, k_held: Tensor, v_held: Tensor, lengths: Tensor, window: int
) -> Tensor:
    """Causal attention over what each row holds and its new keys, which the kernel writes behind them."""
    output, *_ = torch.ops.flash_attn_3.fwd(
        aligned(q),
        k_held,
        v_held,
        k_new=aligned(k),
        v_new=aligned(v),
        seqused_k=lengths,
        is_causal=True,
        window_size_left=window,
        window_size_right=0,
        num_splits=0,
    )
    return output  # type: ignore[no-any-return]


@attend_cached.register_fake
def _attend_cached_shapes(q: Tensor, *rest: object) -> Tensor:
    return q.new_empty(q.shape)


def _mask(bounds: Tensor | None, longest: int, causal: bool, window: int) -> dict[str, Any]:
    mask = {"is_causal": causal, "window_size_left": window, "window_size_right": 0 if causal else -1}
    if bounds is None:
        return mask
    return {
        **mask,
        "cu_seqlens_q": bounds,
        "cu_seqlens_k": bounds,
        "max_seqlen_q": longest,
        "max_seqlen_k": longest,
    }


def aligned(x: Tensor) -> Tensor:
    """`x`, copied if the kernel's copy engine could not read it where it lies."""
    return x if is_aligned(x) else x.clone(memory_format=torch.contiguous_format)


def is_aligned(x: Tensor) -> bool:
    """Whether the last axis is dense and each row of it starts at a multiple of 16 bytes."""
    outer = zip(x.shape[:-1], x.stride()[:-1], strict=True)
    return (
        x.stride(-1) == 1
        and x.data_ptr() % 16 == 0
        and all(size == 1 or (stride > 0 and stride % ALIGNMENT == 0) for size, stride in outer)
    )
