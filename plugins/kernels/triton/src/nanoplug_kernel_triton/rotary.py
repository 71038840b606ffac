"""Rotary positions (Su et al., 2021) with halves paired, forward and backward in one pass over memory each."""

# Triton reads annotations of kernels as its own, so kernels have none.
# mypy: disable-error-code="untyped-decorator,no-untyped-def"
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from nanoplug_kernel_triton.launch import on_device, row_block


@triton.jit
def rotary_kernel(
    x_ptr,
    cos_ptr,
    sin_ptr,
    y_ptr,
    rows,
    heads,
    half,
    table_rows,
    direction,
    BLOCK_R: tl.constexpr,
    BLOCK_E: tl.constexpr,
):
    """A row is one head of one token; direction is 1.0, or -1.0 to turn back, which is what the gradient does."""
    r = tl.program_id(0) * BLOCK_R + tl.arange(0, BLOCK_R)
    e = tl.arange(0, BLOCK_E)
    mask = (r < rows)[:, None] & (e < half)[None, :]
    at = r.to(tl.int64)[:, None] * (2 * half) + e[None, :]
    # table_rows is tokens where all rows of the batch share the tables, else batch * tokens
    angle = ((r // heads) % table_rows).to(tl.int64)[:, None] * half + e[None, :]
    first = tl.load(x_ptr + at, mask=mask, other=0.0).to(tl.float32)
    second = tl.load(x_ptr + at + half, mask=mask, other=0.0).to(tl.float32)
    cos = tl.load(cos_ptr + angle, mask=mask, other=0.0)
    sin = tl.load(sin_ptr + angle, mask=mask, other=0.0) * direction
    tl.store(y_ptr + at, (first * cos + second * sin).to(y_ptr.dtype.element_ty), mask=mask)
    tl.store(y_ptr + at + half, (second * cos - first * sin).to(y_ptr.dtype.element_ty), mask=mask)


class Rotation(torch.autograd.Function):
    """(B, T, H, D), contiguous, in the dtype of x."""

    @staticmethod
    def forward(ctx: Any, x_BTHD: Tensor, cos_BTE: Tensor, sin_BTE: Tensor) -> Tensor:
        cos_BTE, sin_BTE = cos_BTE.float().contiguous(), sin_BTE.float().contiguous()
        ctx.save_for_backward(cos_BTE, sin_BTE)
        return _rotated(x_BTHD.contiguous(), cos_BTE, sin_BTE, 1.0)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        cos_BTE, sin_BTE = ctx.saved_tensors
        return _rotated(upstream[0].contiguous(), cos_BTE, sin_BTE, -1.0), None, None


def _rotated(x_BTHD: Tensor, cos_BTE: Tensor, sin_BTE: Tensor, direction: float) -> Tensor:
    y_BTHD = torch.empty_like(x_BTHD)
    _, tokens, heads, width = x_BTHD.shape
    rows = x_BTHD.numel() // max(1, width)
    block_e = triton.next_power_of_2(width // 2)
    block_r = row_block(rotary_kernel, rows, block_e, 2048)
    if rows:
        with on_device(x_BTHD):
            rotary_kernel[(triton.cdiv(rows, block_r),)](
                x_BTHD,
                cos_BTE,
                sin_BTE,
                y_BTHD,
                rows,
                heads,
                width // 2,
                cos_BTE.shape[0] * tokens,
                direction,
                BLOCK_R=block_r,
                BLOCK_E=block_e,
            )
    return y_BTHD
