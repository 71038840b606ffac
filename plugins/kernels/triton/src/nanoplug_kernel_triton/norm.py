"""RMS norm (Zhang and Sennrich, 2019, without a weight), forward and backward in one pass over memory each."""

# Triton reads annotations of kernels as its own, so kernels have none.
# mypy: disable-error-code="untyped-decorator,no-untyped-def"
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from nanoplug_kernel_triton.launch import on_device, row_block

LARGEST_WIDTH = 65536


@triton.jit
def norm_kernel(x_ptr, y_ptr, rows, width, eps, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr):
    r = tl.program_id(0) * BLOCK_R + tl.arange(0, BLOCK_R)
    d = tl.arange(0, BLOCK_D)
    mask = (r < rows)[:, None] & (d < width)[None, :]
    at = r.to(tl.int64)[:, None] * width + d[None, :]
    x = tl.load(x_ptr + at, mask=mask, other=0.0).to(tl.float32)
    scale = 1.0 / tl.sqrt(tl.sum(x * x, 1) / width + eps)
    tl.store(y_ptr + at, (x * scale[:, None]).to(y_ptr.dtype.element_ty), mask=mask)


@triton.jit
def norm_gradient_kernel(upstream_ptr, x_ptr, out_ptr, rows, width, eps, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr):
    """With s = 1 / sqrt(mean(x^2) + eps) and y = s * x: s * (upstream - y * mean(upstream * y))."""
    r = tl.program_id(0) * BLOCK_R + tl.arange(0, BLOCK_R)
    d = tl.arange(0, BLOCK_D)
    mask = (r < rows)[:, None] & (d < width)[None, :]
    at = r.to(tl.int64)[:, None] * width + d[None, :]
    x = tl.load(x_ptr + at, mask=mask, other=0.0).to(tl.float32)
    upstream = tl.load(upstream_ptr + at, mask=mask, other=0.0).to(tl.float32)
    scale = (1.0 / tl.sqrt(tl.sum(x * x, 1) / width + eps))[:, None]
    y = x * scale
    along = (tl.sum(upstream * y, 1) / width)[:, None]
    tl.store(out_ptr + at, (scale * (upstream - y * along)).to(out_ptr.dtype.element_ty), mask=mask)


class Norm(torch.autograd.Function):
    """x / sqrt(mean(x^2) + eps) over the last axis, contiguous, in the dtype of x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> Tensor:
        x = x.contiguous()
        ctx.save_for_backward(x)
        ctx.eps = eps
        y = torch.empty_like(x)
        _launch(norm_kernel, x, (x, y), eps)
        return y

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        out = torch.empty_like(x)
        _launch(norm_gradient_kernel, x, (upstream[0].contiguous(), x, out), ctx.eps)
        return out, None


def _launch(kernel: Any, x: Tensor, tensors: tuple[Tensor, ...], eps: float) -> None:
    width = x.shape[-1]
    rows = x.numel() // max(1, width)
    block_r = row_block(kernel, rows, width)
    if rows:
        with on_device(x):
            kernel[(triton.cdiv(rows, block_r),)](
                *tensors, rows, width, eps, BLOCK_R=block_r, BLOCK_D=triton.next_power_of_2(width)
            )
