"""The exact operations in chunks, on the device that the inputs are on: for inputs that are too large for the oracle.

For comparisons at the sizes of a run. Laws hold backends against `attention_oracle` and `kernel_oracle`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from nanoplug.conformance.kernel_oracle import loss_rows
from nanoplug.contracts import Mask

# Bytes of the scores, or logits, of one chunk; there are a few tensors of that size at a time.
_CHUNK_BYTES = 256 * 2**20


def attention_exactly(
    q_BTHD: Tensor,
    k_BSGD: Tensor,
    v_BSGD: Tensor,
    mask: Mask,
    upstream_BTHD: Tensor | None = None,
    *,
    dtype: torch.dtype = torch.float64,
    rounded: torch.dtype | None = None,
) -> list[Tensor]:
    """[output] of a causal call, or with `upstream` [output, dq, dk, dv], in `dtype` on the device of q.

    rounded: round weights and output to that dtype, as the plain operation in it does. Needs S == T.
    """
    leaves = [x.detach().to(dtype).requires_grad_(upstream_BTHD is not None) for x in (q_BTHD, k_BSGD, v_BSGD)]
    batch, tokens, heads, _ = q_BTHD.shape
    sums = [torch.zeros_like(leaf) for leaf in leaves]
    outputs = []
    rows = max(1, _CHUNK_BYTES // (batch * heads * tokens * dtype.itemsize))
    for start in range(0, tokens, rows):
        chunk = slice(start, min(start + rows, tokens))
        with torch.set_grad_enabled(upstream_BTHD is not None):
            output = _attend_chunk(leaves, mask, chunk, rounded)
        outputs.append(output.detach())
        if upstream_BTHD is not None:
            found = torch.autograd.grad(output, leaves, upstream_BTHD[:, chunk].to(dtype))
            for total, part in zip(sums, found, strict=True):
                total += part
    output_BTHD = torch.cat(outputs, 1)
    return [output_BTHD] if upstream_BTHD is None else [output_BTHD, *sums]


def _attend_chunk(leaves: Sequence[Tensor], mask: Mask, chunk: slice, rounded: torch.dtype | None) -> Tensor:
    q_BTHD, k_BSGD, v_BSGD = leaves
    first = max(0, chunk.start - mask.window) if mask.window >= 0 else 0
    keys = slice(first, chunk.stop)
    q, k, v = q_BTHD[:, chunk], k_BSGD[:, keys], v_BSGD[:, keys]
    batch, tokens, heads, head_dim = q.shape
    groups = k.shape[2]
    q_BTGRD = q.reshape(batch, tokens, groups, heads // groups, head_dim)
    scores_BGRTS = torch.einsum("btgrd,bsgd->bgrts", q_BTGRD, k) * head_dim**-0.5
    place_T = torch.arange(chunk.start, chunk.stop, device=q.device)
    distance_TS = place_T[:, None] - torch.arange(first, chunk.stop, device=q.device)
    hidden_BTS = (distance_TS < 0)[None]
    if mask.window >= 0:
        hidden_BTS = hidden_BTS | (distance_TS > mask.window)
    if mask.segments_BT is not None:
        hidden_BTS = hidden_BTS | (mask.segments_BT[:, chunk, None] != mask.segments_BT[:, None, keys])
    weights_BGRTS = scores_BGRTS.masked_fill(hidden_BTS[:, None, None], -torch.inf).softmax(-1)
    if rounded is not None:
        weights_BGRTS = weights_BGRTS.to(rounded).to(q.dtype)
    output = torch.einsum("bgrts,bsgd->btgrd", weights_BGRTS, v).reshape(q.shape)
    return output if rounded is None else output.to(rounded).to(q.dtype)


def loss_exactly(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    *,
    softcap: float | None,
    ignore_index: int = -1,
    backward: bool = True,
    dtype: torch.dtype = torch.float64,
    rounded: torch.dtype | None = None,
) -> list[Tensor]:
    """[mean loss], or with `backward` [mean loss, dhidden, dweight] for a slope of 1, in `dtype` on the same device.

    rounded: round the logits to that dtype, as a matrix product in it does.
    """
    weight = weight_VD.detach().to(dtype).requires_grad_(backward)
    count = (targets_N != ignore_index).sum().clamp(min=1)
    total = torch.zeros((), dtype=dtype, device=hidden_ND.device)
    slopes, weight_slope = [], torch.zeros_like(weight)
    for chunk in _row_chunks(hidden_ND.shape[0], weight_VD.shape[0], dtype):
        hidden = hidden_ND[chunk].detach().to(dtype).requires_grad_(backward)
        with torch.set_grad_enabled(backward):
            logits_NV = hidden @ weight.T
            if rounded is not None:
                logits_NV = logits_NV.to(rounded).to(dtype)
            loss = loss_rows(logits_NV, targets_N[chunk], softcap, ignore_index).sum() / count
        total += loss.detach()
        if backward:
            slope, part = torch.autograd.grad(loss, (hidden, weight))
            slopes.append(slope)
            weight_slope += part
    return [total, torch.cat(slopes), weight_slope] if backward else [total]


def _row_chunks(rows: int, vocabulary: int, dtype: torch.dtype) -> Iterator[slice]:
    size = max(1, _CHUNK_BYTES // (vocabulary * dtype.itemsize))
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def relative_error(got: Tensor, want: Tensor) -> float:
    """||got - want|| / ||want|| over all elements; infinite where `got` is not finite."""
    difference = torch.linalg.vector_norm(got.detach().to(want.dtype) - want)
    size = torch.linalg.vector_norm(want)
    error = float(difference / size.clamp(min=torch.finfo(want.dtype).tiny))
    return error if error == error else float("inf")
