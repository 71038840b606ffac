"""What stands between the matrix products of the loss: kernels over rows, in fp32, without host reads."""

# Triton reads annotations of kernels as its own, so kernels have none.
# mypy: disable-error-code="untyped-decorator,no-untyped-def"
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from nanoplug_kernel_triton.launch import interpreted, on_device, row_block
from nanoplug_kernel_triton.product import capped


@triton.jit
def cap_kernel(
    logits_ptr,
    sums_ptr,
    rows,
    vocabulary,
    stride,
    softcap,
    BLOCK_R: tl.constexpr,
    BLOCK_V: tl.constexpr,
    NATIVE: tl.constexpr,
):
    """Logits become slopes in place, and sums (blocks, R) of exp(c): what the product does where it cannot be used."""
    r = tl.program_id(0) * BLOCK_R + tl.arange(0, BLOCK_R)
    v = tl.program_id(1) * BLOCK_V + tl.arange(0, BLOCK_V)
    mask = (r < rows)[:, None] & (v < vocabulary)[None, :]
    at = logits_ptr + r.to(tl.int64)[:, None] * stride + v[None, :]
    z = tl.load(at, mask=mask, other=0.0).to(tl.float32)
    tanh, e = capped(z, softcap, NATIVE)
    tl.store(at, (e * (1.0 - tanh * tanh)).to(logits_ptr.dtype.element_ty), mask=mask)
    tl.store(sums_ptr + tl.program_id(1) * rows + r, tl.sum(tl.where(mask, e, 0.0), 1), mask=r < rows)


@triton.jit
def finish_kernel(
    hidden_ptr,
    weight_ptr,
    slope_ptr,
    sums_ptr,
    targets_ptr,
    upstream_ptr,
    loss_ptr,
    factor_ptr,
    rows,
    width,
    blocks,
    stride,
    softcap,
    ignore_index,
    BLOCK_R: tl.constexpr,
    BLOCK_D: tl.constexpr,
    SLOPE: tl.constexpr,
    UPSTREAM: tl.constexpr,
    NATIVE: tl.constexpr,
):
    """The loss of each row, the factor that turns its slopes into gradients, and the slope in the target's column.

    The target's logit is computed here once more, from one row of hidden and one of weight: cheaper than looking for
    it in every tile of the product.
    """
    r = tl.program_id(0) * BLOCK_R + tl.arange(0, BLOCK_R)
    inside = r < rows
    target = tl.load(targets_ptr + r, mask=inside, other=ignore_index)
    valid = inside & (target != ignore_index)

    total = tl.zeros((BLOCK_R, BLOCK_D), dtype=tl.float32)
    for block in range(0, blocks, BLOCK_D):
        b = block + tl.arange(0, BLOCK_D)
        at = sums_ptr + b[None, :] * rows + r[:, None]
        total += tl.load(at, mask=(b < blocks)[None, :] & inside[:, None], other=0.0)
    sum_R = tl.where(inside, tl.sum(total, 1), 1.0)

    z = tl.zeros((BLOCK_R, BLOCK_D), dtype=tl.float32)
    for start in range(0, width, BLOCK_D):
        d = start + tl.arange(0, BLOCK_D)
        mask = valid[:, None] & (d < width)[None, :]
        h = tl.load(hidden_ptr + r.to(tl.int64)[:, None] * width + d[None, :], mask=mask, other=0.0)
        w = tl.load(weight_ptr + target[:, None] * width + d[None, :], mask=mask, other=0.0)
        z += h.to(tl.float32) * w.to(tl.float32)
    tanh, e = capped(tl.sum(z, 1), softcap, NATIVE)

    tl.store(loss_ptr + r, tl.where(valid, tl.log(sum_R) - softcap * tanh, 0.0), mask=inside)
    if SLOPE:
        # factor * slope = (p - 1) * (1 - tanh^2), as the gradient has it in this column
        slope = (e - sum_R) * (1.0 - tanh * tanh)
        at = slope_ptr + r.to(tl.int64) * stride + target
        tl.store(at, slope.to(slope_ptr.dtype.element_ty), mask=valid)
        factor = tl.where(valid, 1.0 / sum_R, 0.0)
        if UPSTREAM:
            factor *= tl.load(upstream_ptr + r, mask=inside, other=0.0)
        tl.store(factor_ptr + r, factor, mask=inside)


@triton.jit
def softmax_kernel(
    logits_ptr,
    targets_ptr,
    upstream_ptr,
    loss_ptr,
    factor_ptr,
    rows,
    vocabulary,
    stride,
    softcap,
    ignore_index,
    BLOCK_R: tl.constexpr,
    BLOCK_V: tl.constexpr,
    CAP: tl.constexpr,
    SLOPE: tl.constexpr,
    UPSTREAM: tl.constexpr,
):
    """The same for logits without a cap, or one so large that exp(c) could overflow: a running maximum, two passes."""
    r = tl.program_id(0) * BLOCK_R + tl.arange(0, BLOCK_R)
    inside = r < rows
    target = tl.load(targets_ptr + r, mask=inside, other=ignore_index)
    valid = inside & (target != ignore_index)
    at_row = logits_ptr + r.to(tl.int64)[:, None] * stride

    top = tl.full((BLOCK_R,), -float("inf"), dtype=tl.float32)
    sum_R = tl.zeros((BLOCK_R,), dtype=tl.float32)
    hit = tl.zeros((BLOCK_R,), dtype=tl.float32)
    for start in range(0, vocabulary, BLOCK_V):
        v = start + tl.arange(0, BLOCK_V)
        mask = inside[:, None] & (v < vocabulary)[None, :]
        c = tl.load(at_row + v[None, :], mask=mask, other=0.0).to(tl.float32)
        if CAP:
            c = softcap * (2.0 * tl.sigmoid(2.0 * c / softcap) - 1.0)
        hit += tl.sum(tl.where(v[None, :] == target[:, None], c, 0.0), 1)
        c = tl.where((v < vocabulary)[None, :], c, -float("inf"))
        higher = tl.maximum(top, tl.max(c, 1))
        sum_R = sum_R * tl.exp(top - higher) + tl.sum(tl.exp(c - higher[:, None]), 1)
        top = higher
    log_sum = top + tl.log(sum_R)
    tl.store(loss_ptr + r, tl.where(valid, log_sum - hit, 0.0), mask=inside)
    if SLOPE:
        for start in range(0, vocabulary, BLOCK_V):
            v = start + tl.arange(0, BLOCK_V)
            mask = inside[:, None] & (v < vocabulary)[None, :]
            c = tl.load(at_row + v[None, :], mask=mask, other=0.0).to(tl.float32)
            slope = tl.full((BLOCK_R, BLOCK_V), 1.0, dtype=tl.float32)
            if CAP:
                tanh = 2.0 * tl.sigmoid(2.0 * c / softcap) - 1.0
                slope = 1.0 - tanh * tanh
                c = softcap * tanh
            p = tl.exp(c - log_sum[:, None])
            slope *= tl.where(v[None, :] == target[:, None], p - 1.0, p)
            tl.store(at_row + v[None, :], slope.to(logits_ptr.dtype.element_ty), mask=mask)
        factor = tl.where(valid, 1.0, 0.0)
        if UPSTREAM:
            factor *= tl.load(upstream_ptr + r, mask=inside, other=0.0)
        tl.store(factor_ptr + r, factor, mask=inside)


@triton.jit
def scale_kernel(
    x_ptr,
    out_ptr,
    factor_ptr,
    upstream_ptr,
    rows,
    width,
    BLOCK_R: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BY_ROW: tl.constexpr,
    UPSTREAM: tl.constexpr,
):
    """out = x * factor of the row * upstream, which is one number on the device."""
    r = tl.program_id(0) * BLOCK_R + tl.arange(0, BLOCK_R)
    d = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    mask = (r < rows)[:, None] & (d < width)[None, :]
    at = r.to(tl.int64)[:, None] * width + d[None, :]
    x = tl.load(x_ptr + at, mask=mask, other=0.0).to(tl.float32)
    if BY_ROW:
        x *= tl.load(factor_ptr + r, mask=r < rows, other=0.0)[:, None]
    if UPSTREAM:
        x *= tl.load(upstream_ptr)
    tl.store(out_ptr + at, x.to(out_ptr.dtype.element_ty), mask=mask)


def cap(logits_RV: Tensor, softcap: float) -> Tensor:
    """Turns logits into slopes in place; returns the sums of exp(c), (blocks, R) in fp32."""
    rows, vocabulary = logits_RV.shape
    block_v = min(1024, triton.next_power_of_2(vocabulary))
    block_r = row_block(cap_kernel, rows, block_v)
    grid = (triton.cdiv(rows, block_r), triton.cdiv(vocabulary, block_v))
    sums = logits_RV.new_empty(grid[1], rows, dtype=torch.float32)
    with on_device(logits_RV):
        cap_kernel[grid](
            logits_RV,
            sums,
            rows,
            vocabulary,
            logits_RV.stride(0),
            softcap,
            BLOCK_R=block_r,
            BLOCK_V=block_v,
            NATIVE=not interpreted(cap_kernel),
        )
    return sums


def finish(
    hidden_RD: Tensor,
    weight_VD: Tensor,
    targets_R: Tensor,
    sums: Tensor,
    slope_RV: Tensor | None,
    upstream_R: Tensor | None,
    loss_R: Tensor,
    factor_R: Tensor | None,
    softcap: float,
    ignore_index: int,
) -> None:
    """Writes loss_R and, with slopes, factor_R and the slope in each target's column."""
    rows, width = hidden_RD.shape
    block_d = 128
    block_r = row_block(finish_kernel, rows, block_d, 512)
    with on_device(hidden_RD):
        finish_kernel[(triton.cdiv(rows, block_r),)](
            hidden_RD,
            weight_VD,
            slope_RV,
            sums,
            targets_R,
            upstream_R,
            loss_R,
            factor_R,
            rows,
            width,
            sums.shape[0],
            0 if slope_RV is None else slope_RV.stride(0),
            softcap,
            ignore_index,
            BLOCK_R=block_r,
            BLOCK_D=block_d,
            SLOPE=slope_RV is not None,
            UPSTREAM=upstream_R is not None,
            NATIVE=not interpreted(finish_kernel),
        )


def softmax(
    logits_RV: Tensor,
    targets_R: Tensor,
    upstream_R: Tensor | None,
    loss_R: Tensor,
    factor_R: Tensor | None,
    softcap: float | None,
    ignore_index: int,
) -> None:
    """Writes loss_R and, where factor_R is given, factor_R and the slopes over the logits."""
    rows, vocabulary = logits_RV.shape
    block_v = min(4096, triton.next_power_of_2(vocabulary))
    block_r = row_block(softmax_kernel, rows, block_v)
    with on_device(logits_RV):
        softmax_kernel[(triton.cdiv(rows, block_r),)](
            logits_RV,
            targets_R,
            upstream_R,
            loss_R,
            factor_R,
            rows,
            vocabulary,
            logits_RV.stride(0),
            1.0 if softcap is None else softcap,
            ignore_index,
            BLOCK_R=block_r,
            BLOCK_V=block_v,
            CAP=softcap is not None,
            SLOPE=factor_R is not None,
            UPSTREAM=upstream_R is not None,
            num_warps=8,
        )


def scale(x: Tensor, factor_R: Tensor | None, upstream: Tensor | None, dtype: torch.dtype) -> Tensor:
    """x (R, D) times factor_R of its row times `upstream`, one number in fp32 on the device; a new tensor."""
    rows, width = x.shape
    out = torch.empty(rows, width, dtype=dtype, device=x.device)
    block_d = min(1024, triton.next_power_of_2(width))
    block_r = row_block(scale_kernel, rows, block_d)
    with on_device(x):
        scale_kernel[(triton.cdiv(rows, block_r), triton.cdiv(width, block_d))](
            x,
            out,
            factor_R,
            upstream,
            rows,
            width,
            BLOCK_R=block_r,
            BLOCK_D=block_d,
            BY_ROW=factor_R is not None,
            UPSTREAM=upstream is not None,
        )
    return out
