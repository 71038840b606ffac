"""The loops over chunks of queries, as custom operators: `torch.compile` calls them and does not look inside.

So the graph does not grow with the tokens, and autograd keeps the inputs alone. The gradients are those of
Vaswani et al. 2017 in the form of Dao et al. 2022 (FlashAttention, appendix B.2), one chunk of queries at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op

_CALL = "Tensor q, Tensor k, Tensor v, Tensor? segments, bool causal, int window, int chunk_rows"


def attend_rows(q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, seen_BTS: Tensor | None) -> Tensor:
    """(B, T, H, D) where query t of row b reads the keys that `seen` (B or 1, T, S) allows; None allows all."""
    weights_BGQS = _weights(_by_key_head(q_BTHD, k_BSGD.shape[2]), _keys_first(k_BSGD), seen_BTS)
    return _by_token(weights_BGQS @ _keys_first(v_BSGD), q_BTHD.shape).to(q_BTHD.dtype)


@custom_op("nanoplug_attention_chunked::attend", mutates_args=(), schema=f"({_CALL}) -> Tensor")
def attend_training(
    q_BTHD: Tensor,
    k_BSGD: Tensor,
    v_BSGD: Tensor,
    segments_BT: Tensor | None,
    causal: bool,
    window: int,
    chunk_rows: int,
) -> Tensor:
    """(B, T, H, D) in the dtype of q; scores, softmax and sums in fp32."""
    output_BTHD = q_BTHD.new_empty(q_BTHD.shape)
    for rows, keys in _chunks(q_BTHD.shape[1], k_BSGD.shape[1], causal, window, chunk_rows):
        seen_BTS = _seen(rows, keys, q_BTHD, k_BSGD, segments_BT, causal, window)
        output_BTHD[:, rows] = attend_rows(q_BTHD[:, rows], k_BSGD[:, keys], v_BSGD[:, keys], seen_BTS)
    return output_BTHD


@custom_op(
    "nanoplug_attention_chunked::gradients",
    mutates_args=(),
    schema=f"(Tensor upstream, {_CALL}) -> (Tensor, Tensor, Tensor)",
)
def training_gradients(
    upstream_BTHD: Tensor,
    q_BTHD: Tensor,
    k_BSGD: Tensor,
    v_BSGD: Tensor,
    segments_BT: Tensor | None,
    causal: bool,
    window: int,
    chunk_rows: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """dq, dk and dv in the dtype of q; dk and dv are summed over chunks in fp32."""
    groups, scale = k_BSGD.shape[2], q_BTHD.shape[3] ** -0.5
    dq_BTHD = q_BTHD.new_empty(q_BTHD.shape)
    dk_BSGD, dv_BSGD = (x.new_zeros(x.shape, dtype=torch.float32) for x in (k_BSGD, v_BSGD))
    for rows, keys in _chunks(q_BTHD.shape[1], k_BSGD.shape[1], causal, window, chunk_rows):
        seen_BTS = _seen(rows, keys, q_BTHD, k_BSGD, segments_BT, causal, window)
        q_BGQD, upstream_BGQD = (_by_key_head(x[:, rows], groups) for x in (q_BTHD, upstream_BTHD))
        k_BGSD, v_BGSD = (_keys_first(x[:, keys]) for x in (k_BSGD, v_BSGD))
        weights_BGQS = _weights(q_BGQD, k_BGSD, seen_BTS)
        dv_BSGD[:, keys] += (weights_BGQS.transpose(2, 3) @ upstream_BGQD).transpose(1, 2)
        slope_BGQS = upstream_BGQD @ v_BGSD.transpose(2, 3)
        slope_BGQS -= (slope_BGQS * weights_BGQS).sum(-1, keepdim=True)
        slope_BGQS *= weights_BGQS
        slope_BGQS *= scale
        dq_BTHD[:, rows] = _by_token(slope_BGQS @ k_BGSD, dq_BTHD[:, rows].shape).to(dq_BTHD.dtype)
        dk_BSGD[:, keys] += (slope_BGQS.transpose(2, 3) @ q_BGQD).transpose(1, 2)
        del weights_BGQS, slope_BGQS  # before the next chunk makes its own
    return dq_BTHD, dk_BSGD.to(k_BSGD.dtype), dv_BSGD.to(v_BSGD.dtype)


@attend_training.register_fake
def _(
    q_BTHD: Tensor,
    k_BSGD: Tensor,
    v_BSGD: Tensor,
    segments_BT: Tensor | None,
    causal: bool,
    window: int,
    chunk_rows: int,
) -> Tensor:
    return q_BTHD.new_empty(q_BTHD.shape)


@training_gradients.register_fake
def _(
    upstream_BTHD: Tensor,
    q_BTHD: Tensor,
    k_BSGD: Tensor,
    v_BSGD: Tensor,
    segments_BT: Tensor | None,
    causal: bool,
    window: int,
    chunk_rows: int,
) -> tuple[Tensor, Tensor, Tensor]:
    return q_BTHD.new_empty(q_BTHD.shape), k_BSGD.new_empty(k_BSGD.shape), v_BSGD.new_empty(v_BSGD.shape)


def _keep_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    q_BTHD, k_BSGD, v_BSGD, segments_BT, *ctx.plan = inputs
    ctx.save_for_backward(q_BTHD, k_BSGD, v_BSGD, segments_BT)


def _backward(ctx: Any, upstream_BTHD: Tensor) -> tuple[Tensor | None, ...]:
    gradients: tuple[Tensor, ...] = training_gradients(upstream_BTHD, *ctx.saved_tensors, *ctx.plan)
    return (*gradients, None, None, None, None)


attend_training.register_autograd(_backward, setup_context=_keep_inputs)


def _chunks(tokens: int, keys: int, causal: bool, window: int, chunk_rows: int) -> Iterator[tuple[slice, slice]]:
    """Each chunk's queries, and the keys that at least one of them may see."""
    ahead = keys - tokens
    for start in range(0, tokens, chunk_rows):
        stop = min(start + chunk_rows, tokens)
        first = max(0, start + ahead - window) if window >= 0 else 0
        yield slice(start, stop), slice(first, stop + ahead if causal else keys)


def _seen(
    rows: slice, keys: slice, q_BTHD: Tensor, k_BSGD: Tensor, segments_BT: Tensor | None, causal: bool, window: int
) -> Tensor | None:
    """(B or 1, T, S) bool for one chunk, or None where all of its queries see all of its keys."""
    seen_BTS = None
    if causal:
        ahead = k_BSGD.shape[1] - q_BTHD.shape[1]
        query_T1 = torch.arange(rows.start + ahead, rows.stop + ahead, device=q_BTHD.device)[:, None]
        distance_1TS = (query_T1 - torch.arange(keys.start, keys.stop, device=q_BTHD.device))[None]
        seen_BTS = distance_1TS >= 0
        if window >= 0:
            seen_BTS &= distance_1TS <= window
    if segments_BT is not None:
        together_BTS = segments_BT[:, rows, None] == segments_BT[:, None, keys]
        seen_BTS = together_BTS if seen_BTS is None else seen_BTS & together_BTS
    return seen_BTS


def _weights(q_BGQD: Tensor, k_BGSD: Tensor, seen_BTS: Tensor | None) -> Tensor:
    """Softmax over the keys, fp32. Q = H / G * T: the queries of the heads that share a key head, head by head."""
    scores_BGQS: Tensor = (q_BGQD * q_BGQD.shape[3] ** -0.5) @ k_BGSD.transpose(2, 3)
    if seen_BTS is not None:
        tokens = seen_BTS.shape[1]
        scores_BGRTS: Tensor = scores_BGQS.unflatten(2, (-1, tokens))
        scores_BGQS = scores_BGRTS.masked_fill_(~seen_BTS[:, None, None], -torch.inf).flatten(2, 3)
    return scores_BGQS.softmax(-1)


def _by_key_head(x_BTHD: Tensor, groups: int) -> Tensor:
    """(B, G, H / G * T, D) in fp32."""
    x_BTGRD: Tensor = x_BTHD.unflatten(2, (groups, -1))
    return x_BTGRD.permute(0, 2, 3, 1, 4).float().flatten(2, 3)


def _by_token(x_BGQD: Tensor, shape: torch.Size) -> Tensor:
    """The inverse of `_by_key_head`, as (B, T, H, D)."""
    x_BGRTD: Tensor = x_BGQD.unflatten(2, (-1, shape[1]))
    return x_BGRTD.permute(0, 3, 1, 2, 4).reshape(shape)


def _keys_first(x_BSGD: Tensor) -> Tensor:
    """(B, G, S, D) in fp32."""
    return x_BSGD.transpose(1, 2).float()
