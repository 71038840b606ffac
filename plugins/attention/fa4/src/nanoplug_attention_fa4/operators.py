"""FlashAttention-4 as operators of our own: it compiles its kernels when called, which no tracer can follow.

window: -1 is unlimited. The library's public call hides the log-sum-exp from its caller's backward, so its two inner
calls are used, as torch's own binding to it does; the manifest bounds its version for that.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from nanoplug.errors import PluginError

MODULE = "flash_attn.cute.interface"


@frozen
class Library:
    """The library's calls. forward gives (output, log-sum-exp, ...), backward (dq, dk, dv)."""

    forward: Callable[..., Any]
    backward: Callable[..., Any]


@cache
def library() -> Library:
    """FlashAttention-4, imported. Raises PluginError if it cannot be, or has not the calls that are used here."""
    todo = "pip install 'flash-attn-4==4.0.0b36', with the extra [cu13] for a torch of CUDA 13."
    try:
        module = importlib.import_module(MODULE)
    except (ImportError, OSError) as error:
        raise PluginError(f"fa4: importing {MODULE} failed: {error}", todo=todo) from error
    try:
        return Library(module._flash_attn_fwd, module._flash_attn_bwd)
    except AttributeError as error:
        raise PluginError(f"fa4: this flash-attn-4 is not one that the plugin knows: {error}", todo=todo) from error


@torch.library.custom_op(
    "nanoplug_fa4::attend",
    mutates_args=(),
    schema="(Tensor q, Tensor k, Tensor v, bool causal, int window) -> (Tensor, Tensor)",
)
def attend(q: Tensor, k: Tensor, v: Tensor, causal: bool, window: int) -> tuple[Tensor, Tensor]:
    """Output (B, T, H, D) and the log-sum-exp of the scores, fp32 (B, H, T)."""
    output, log_sum, *_ = library().forward(q, k, v, return_lse=True, **_mask(causal, window))
    return output, log_sum


@attend.register_fake
def _attend_shapes(q: Tensor, k: Tensor, v: Tensor, causal: bool, window: int) -> tuple[Tensor, Tensor]:
    batch, tokens, heads, _ = q.shape
    return q.new_empty(q.shape), q.new_empty((batch, heads, tokens), dtype=torch.float32)


@torch.library.custom_op(
    "nanoplug_fa4::attend_backward",
    mutates_args=(),
    schema="(Tensor upstream, Tensor q, Tensor k, Tensor v, Tensor output, Tensor log_sum, bool causal, int window)"
    " -> (Tensor, Tensor, Tensor)",
)
def attend_backward(
    upstream: Tensor, q: Tensor, k: Tensor, v: Tensor, output: Tensor, log_sum: Tensor, causal: bool, window: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q, k and v."""
    dq, dk, dv = (x.new_empty(x.shape) for x in (q, k, v))
    # A sum's gradient has strides of 0, which the library's descriptors do not take.
    upstream = upstream.contiguous()
    library().backward(q, k, v, output, upstream, log_sum, dq=dq, dk=dk, dv=dv, **_mask(causal, window))
    return dq, dk, dv


@attend_backward.register_fake
def _attend_backward_shapes(
    upstream: Tensor, q: Tensor, k: Tensor, v: Tensor, *rest: object
) -> tuple[Tensor, Tensor, Tensor]:
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    q, k, v, *ctx.how = inputs
    ctx.save_for_backward(q, k, v, *output)
    ctx.mark_non_differentiable(output[1])


def _differentiate(ctx: Any, upstream: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
    q, k, v, output, log_sum = ctx.saved_tensors
    return (*attend_backward(upstream, q, k, v, output, log_sum, *ctx.how), None, None)


attend.register_autograd(_differentiate, setup_context=_save)


def _mask(causal: bool, window: int) -> dict[str, Any]:
    if window < 0:
        return {"causal": causal}
    return {"causal": causal, "window_size_left": window, "window_size_right": 0}
