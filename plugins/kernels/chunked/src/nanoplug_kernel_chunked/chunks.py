"""The loops over chunks of rows, as custom operators: `torch.compile` calls them and does not look inside.

So the graph does not grow with the rows, and no chunk's logits are kept. Where the caller is compiled on a GPU
(`fused`), what stands between the matrix products is compiled on its own, once for all chunks.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.library import custom_op

_CALL = "Tensor hidden, Tensor weight, Tensor targets, float? softcap, int ignore_index, int chunk_rows, bool fused"


@custom_op("nanoplug_chunked::each_row", mutates_args=(), schema=f"({_CALL}) -> Tensor")
def each_row(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    softcap: float | None,
    ignore_index: int,
    chunk_rows: int,
    fused: bool,
) -> Tensor:
    """(N,) fp32, 0 at ignored rows."""
    losses = _losses_fused if fused else _losses
    loss_N = hidden_ND.new_zeros(hidden_ND.shape[0], dtype=torch.float32)
    for rows in _chunks(hidden_ND, chunk_rows):
        logits_RV = F.linear(hidden_ND[rows], weight_VD)
        loss_N[rows] = losses(logits_RV, targets_N[rows], softcap, ignore_index)
    return loss_N


@custom_op(
    "nanoplug_chunked::each_row_gradients",
    mutates_args=(),
    schema=f"(Tensor upstream, {_CALL}) -> (Tensor, Tensor)",
)
def each_row_gradients(
    upstream_N: Tensor,
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    softcap: float | None,
    ignore_index: int,
    chunk_rows: int,
    fused: bool,
) -> tuple[Tensor, Tensor]:
    """Gradients of hidden (N, D) and weight (V, D), both in their dtype, for `upstream` of each row."""
    of_logits = _losses_and_slope_fused if fused else _losses_and_slope
    hidden_gradient_ND = torch.empty_like(hidden_ND)
    weight_gradient_VD = torch.zeros_like(weight_VD, dtype=torch.float32)
    for rows in _chunks(hidden_ND, chunk_rows):
        _, slope_RV = of_logits(F.linear(hidden_ND[rows], weight_VD), targets_N[rows], softcap, ignore_index)
        factor_R1 = (upstream_N[rows] * (targets_N[rows] != ignore_index))[:, None]
        hidden_gradient_ND[rows] = (slope_RV @ weight_VD) * factor_R1
        weight_gradient_VD += slope_RV.T @ (hidden_ND[rows] * factor_R1).to(hidden_ND.dtype)
        del slope_RV  # before the next chunk makes its own
    return hidden_gradient_ND, weight_gradient_VD.to(weight_VD.dtype)


@custom_op("nanoplug_chunked::total_and_gradients", mutates_args=(), schema=f"({_CALL}) -> (Tensor, Tensor, Tensor)")
def total_and_gradients(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    softcap: float | None,
    ignore_index: int,
    chunk_rows: int,
    fused: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """The sum of the losses, fp32, and its gradients of hidden (in its dtype) and weight (fp32)."""
    total = hidden_ND.new_zeros((), dtype=torch.float32)
    of_logits = _losses_and_slope_fused if fused else _losses_and_slope
    hidden_gradient_ND = torch.empty_like(hidden_ND)
    weight_gradient_VD = torch.zeros_like(weight_VD, dtype=torch.float32)
    for rows in _chunks(hidden_ND, chunk_rows):
        loss_R, slope_RV = of_logits(F.linear(hidden_ND[rows], weight_VD), targets_N[rows], softcap, ignore_index)
        valid_R1 = (targets_N[rows] != ignore_index)[:, None]
        total += loss_R.sum()
        hidden_gradient_ND[rows] = (slope_RV @ weight_VD) * valid_R1
        weight_gradient_VD += slope_RV.T @ (hidden_ND[rows] * valid_R1)
        del slope_RV  # before the next chunk makes its own
    return total, hidden_gradient_ND, weight_gradient_VD


@each_row.register_fake
def _(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    softcap: float | None,
    ignore_index: int,
    chunk_rows: int,
    fused: bool,
) -> Tensor:
    return hidden_ND.new_empty(hidden_ND.shape[0], dtype=torch.float32)


@each_row_gradients.register_fake
def _(
    upstream_N: Tensor,
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    softcap: float | None,
    ignore_index: int,
    chunk_rows: int,
    fused: bool,
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(hidden_ND), torch.empty_like(weight_VD)


@total_and_gradients.register_fake
def _(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    softcap: float | None,
    ignore_index: int,
    chunk_rows: int,
    fused: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    total = hidden_ND.new_empty((), dtype=torch.float32)
    return total, torch.empty_like(hidden_ND), torch.empty_like(weight_VD, dtype=torch.float32)


def _chunks(hidden_ND: Tensor, chunk_rows: int) -> Iterator[slice]:
    for start in range(0, hidden_ND.shape[0], chunk_rows):
        yield slice(start, start + chunk_rows)


def _losses(logits_RV: Tensor, targets_R: Tensor, softcap: float | None, ignore_index: int) -> Tensor:
    """(R,) in fp32, 0 at ignored rows."""
    log_p_RV, _ = _log_softmax(logits_RV, softcap)
    return F.nll_loss(log_p_RV, targets_R, ignore_index=ignore_index, reduction="none")


def _losses_and_slope(
    logits_RV: Tensor, targets_R: Tensor, softcap: float | None, ignore_index: int
) -> tuple[Tensor, Tensor]:
    """Each row's loss, and its slope in the row's logits (R, V), in their dtype.

    Ignored rows of the slope hold nonsense: they are cut where rows meet hidden, which is cheaper than here.
    """
    log_p_RV, tanh_RV = _log_softmax(logits_RV, softcap)
    loss_R = F.nll_loss(log_p_RV, targets_R, ignore_index=ignore_index, reduction="none")
    slope_RV = log_p_RV.exp_()
    target_R1 = targets_R.clamp(0, slope_RV.shape[1] - 1)[:, None]
    if torch.compiler.is_compiling():  # a comparison fuses with its surroundings, a scatter does not
        slope_RV = slope_RV - (torch.arange(slope_RV.shape[1], device=slope_RV.device) == target_R1).float()
    else:
        slope_RV.scatter_add_(1, target_R1, slope_RV.new_full(target_R1.shape, -1.0))
    if tanh_RV is not None:
        # slope * (1 - tanh^2) in one pass over memory
        slope_RV = torch.ops.aten.tanh_backward(slope_RV, tanh_RV)
    return loss_R, slope_RV.to(logits_RV.dtype)


def _log_softmax(logits_RV: Tensor, softcap: float | None) -> tuple[Tensor, Tensor | None]:
    """Log of the softmax (R, V) in fp32, and the hyperbolic tangent in the cap if there is one."""
    if softcap is None:
        return F.log_softmax(logits_RV, -1, dtype=torch.float32), None
    tanh_RV = torch.tanh_(logits_RV.float() / softcap)
    return F.log_softmax(tanh_RV * softcap, -1), tanh_RV


_losses_fused = torch.compile(_losses)
_losses_and_slope_fused = torch.compile(_losses_and_slope)
