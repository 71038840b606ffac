"""The loop over chunks of rows: slopes of the logits, then the two products that make gradients of them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import triton
from attrs import frozen
from torch import Tensor

from nanoplug_kernel_triton import product, rows
from nanoplug_kernel_triton.launch import programs

# exp(c) for |c| up to this, summed over any vocabulary and multiplied by the slopes, stays well inside bf16 and fp32.
LARGEST_DIRECT_CAP = 40.0
SLOPE_BYTES = 512 * 2**20
ROWS_WITHOUT_SLOPES = 8192
# The tiles that the matrix library takes here most often, in rows and columns of the product with weight.
TILE_ROWS, TILE_COLUMNS = 256, 128


@frozen(kw_only=True)
class Plan:
    """What a call asks for, apart from tensors. chunk_rows 0 leaves it to `rows_per_chunk`."""

    softcap: float | None
    ignore_index: int
    chunk_rows: int


@frozen(kw_only=True)
class Products:
    """The gradients but for a factor: dhidden = products_ND * factor_N, dweight = weight_VD, for an upstream of 1."""

    loss_N: Tensor
    products_ND: Tensor
    factor_N: Tensor
    weight_VD: Tensor


def rows_per_chunk(count: int, width: int, row_bytes: int, multiprocessors: int) -> int:
    """Rows of hidden (count, width) at once: SLOPE_BYTES of slopes at most, and an eighth of what all rows would take.

    Between half of that and all of it, the number of rows whose product with weight (rows x width) fills the device
    most evenly: its tiles are few, and a last wave with few of them costs as much as a full one. row_bytes: slopes of
    one row.
    """
    most = max(1, min(SLOPE_BYTES // row_bytes, -(-count // 8)) // TILE_ROWS)
    across = -(-width // TILE_COLUMNS)

    def fill(down: int) -> float:
        waves = -(-down * across // multiprocessors)
        return down * across / (waves * multiprocessors)

    return TILE_ROWS * max(range((most + 1) // 2, most + 1), key=lambda down: (fill(down), down))


def losses(hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, plan: Plan) -> Tensor:
    """(N,) fp32, 0 at ignored rows, without what gradients need."""
    loss_N = hidden_ND.new_empty(hidden_ND.shape[0], dtype=torch.float32)
    direct = _direct(hidden_ND, plan)
    if direct and product.serves(hidden_ND, weight_VD):
        for part in _chunks(hidden_ND.shape[0], ROWS_WITHOUT_SLOPES):
            sums = product.slope_and_sums(hidden_ND[part], weight_VD, direct, None)
            ends = (sums, None, None, loss_N[part], None, direct, plan.ignore_index)
            rows.finish(hidden_ND[part], weight_VD, targets_N[part], *ends)
        return loss_N
    size = _rows_at_once(hidden_ND, weight_VD, plan)
    scratch_RV = _scratch(hidden_ND, weight_VD, size)
    for part in _chunks(hidden_ND.shape[0], size):
        logits_RV = scratch_RV[: part.stop - part.start]
        torch.mm(hidden_ND[part], weight_VD.T, out=logits_RV)
        rows.softmax(logits_RV, targets_N[part], None, loss_N[part], None, plan.softcap, plan.ignore_index)
    return loss_N


def products(
    hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, upstream_N: Tensor | None, plan: Plan
) -> Products:
    """Losses and gradients in one pass. upstream_N: fp32 factors of the rows, or None for 1."""
    count = hidden_ND.shape[0]
    size = _rows_at_once(hidden_ND, weight_VD, plan)
    scratch_RV = _scratch(hidden_ND, weight_VD, size)
    loss_N, factor_N = hidden_ND.new_empty(2, count, dtype=torch.float32).unbind()
    products_ND = torch.empty_like(hidden_ND)
    weight_gradient_VD = torch.empty_like(weight_VD, dtype=torch.float32)
    if not count:
        weight_gradient_VD.zero_()
    for part in _chunks(count, size):
        slope_RV = scratch_RV[: part.stop - part.start]
        upstream_R = None if upstream_N is None else upstream_N[part]
        _slopes(hidden_ND[part], weight_VD, targets_N[part], upstream_R, slope_RV, loss_N[part], factor_N[part], plan)
        torch.mm(slope_RV, weight_VD, out=products_ND[part])
        scaled_RD = rows.scale(hidden_ND[part], factor_N[part], None, hidden_ND.dtype)
        _add_product(weight_gradient_VD, slope_RV, scaled_RD, first=part.start == 0)
    return Products(loss_N=loss_N, products_ND=products_ND, factor_N=factor_N, weight_VD=weight_gradient_VD)


def _slopes(
    hidden_RD: Tensor,
    weight_VD: Tensor,
    targets_R: Tensor,
    upstream_R: Tensor | None,
    slope_RV: Tensor,
    loss_R: Tensor,
    factor_R: Tensor,
    plan: Plan,
) -> None:
    """Fills slope_RV, loss_R and factor_R of one chunk: factor times slope is the gradient of the row's logits."""
    direct = _direct(hidden_RD, plan)
    if direct and product.serves(hidden_RD, weight_VD):
        sums = product.slope_and_sums(hidden_RD, weight_VD, direct, slope_RV)
    else:
        torch.mm(hidden_RD, weight_VD.T, out=slope_RV)
        if not direct:
            rows.softmax(slope_RV, targets_R, upstream_R, loss_R, factor_R, plan.softcap, plan.ignore_index)
            return
        sums = rows.cap(slope_RV, direct)
    ends = (upstream_R, loss_R, factor_R, direct, plan.ignore_index)
    rows.finish(hidden_RD, weight_VD, targets_R, sums, slope_RV, *ends)


def _rows_at_once(hidden_ND: Tensor, weight_VD: Tensor, plan: Plan) -> int:
    count, width = hidden_ND.shape
    row_bytes = weight_VD.shape[0] * hidden_ND.itemsize
    planned = plan.chunk_rows or rows_per_chunk(count, width, row_bytes, programs(hidden_ND))
    return max(1, min(planned, count))


def _direct(hidden_ND: Tensor, plan: Plan) -> float:
    """The cap if exp(c) can be stored as it is, else 0."""
    if plan.softcap is None or plan.softcap > LARGEST_DIRECT_CAP or hidden_ND.dtype == torch.float16:
        return 0.0
    return plan.softcap


def _scratch(hidden_ND: Tensor, weight_VD: Tensor, size: int) -> Tensor:
    """(size, V), its rows starting at multiples of 16 bytes."""
    vocabulary, step = weight_VD.shape[0], 16 // hidden_ND.itemsize
    return hidden_ND.new_empty(size, triton.cdiv(vocabulary, step) * step)[:, :vocabulary]


def _chunks(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def _add_product(sum_VD: Tensor, slope_RV: Tensor, scaled_RD: Tensor, *, first: bool) -> None:
    """sum_VD += slope_RV.T @ scaled_RD in fp32; `first` sets it."""
    slope_VR = slope_RV.T
    if slope_RV.dtype == torch.float32:
        torch.addmm(sum_VD, slope_VR, scaled_RD, beta=0 if first else 1, out=sum_VD)
    elif not slope_RV.is_cuda:  # no product on the CPU widens its output
        (sum_VD.zero_() if first else sum_VD).add_(slope_VR @ scaled_RD)
    elif first:
        torch.mm(slope_VR, scaled_RD, out_dtype=torch.float32, out=sum_VD)
    else:
        torch.addmm(sum_VD, slope_VR, scaled_RD, out_dtype=torch.float32, out=sum_VD)
