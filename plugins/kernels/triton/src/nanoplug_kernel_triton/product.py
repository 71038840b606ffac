"""The product of hidden and weight whose tiles are capped and exponentiated before they leave the chip.

With c = softcap * tanh(z / softcap) the exponential exp(c) cannot overflow, so it needs no row maximum, and its slope
in the logit z, exp(c) * (1 - tanh^2), needs nothing but z. That slope is all that is stored. Divided by the row's sum
of exp(c) it is the gradient of the loss, but for the target's column; and a factor for each row can be applied to
hidden and to the product with weight instead. So no pass over the logits is left between the matrix products.
"""

# Triton reads annotations of kernels as its own, so kernels have none.
# mypy: disable-error-code="untyped-decorator,no-untyped-def"
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from nanoplug_kernel_triton.launch import Blocks, interpreted, on_device, programs

# Compute capabilities with a copy engine for tiles and the 225 KiB of shared memory that these take: Hopper, Blackwell.
DATA_CENTRE_MAJORS = (9, 10)


@triton.jit
def reciprocal(x, NATIVE: tl.constexpr):
    """1 / x; NATIVE by the GPU's own instruction, within one unit in the last place."""
    if NATIVE:
        result = tl.inline_asm_elementwise(
            "rcp.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
        )
    else:
        result = 1.0 / x
    return result


@triton.jit
def capped(z, softcap, NATIVE: tl.constexpr):
    """t = tanh(z / softcap) and exp(softcap * t)."""
    # exp2 is the GPU's instruction; 1.4427 is log2(e).
    tanh = 1.0 - 2.0 * reciprocal(tl.exp2(z * (2.8853900817779268 / softcap)) + 1.0, NATIVE)
    return tanh, tl.exp2(tanh * (softcap * 1.4426950408889634))


@triton.jit
def finish_half(
    z,
    slope,
    row,
    column,
    vocabulary,
    softcap,
    COLUMNS: tl.constexpr,
    STORE: tl.constexpr,
    WHOLE: tl.constexpr,
    NATIVE: tl.constexpr,
):
    """Stores the slopes of half a tile and returns each row's sum of exp(c)."""
    tanh, e = capped(z, softcap, NATIVE)
    if STORE:
        slope.store([row, column], (e * (1.0 - tanh * tanh)).to(slope.dtype))
    if not WHOLE:
        e = tl.where((column + tl.arange(0, COLUMNS) < vocabulary)[None, :], e, 0.0)
    return tl.sum(e, 1)


@triton.jit
def product_kernel(
    hidden,
    weight,
    slope,
    sums_ptr,
    rows,
    vocabulary,
    width,
    softcap,
    PROGRAMS: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_V: tl.constexpr,
    BLOCK_D: tl.constexpr,
    STORE: tl.constexpr,
    WHOLE: tl.constexpr,
    PRECISION: tl.constexpr,
    NATIVE: tl.constexpr,
):
    """slope (R, V) and, for each block of columns, sums (blocks, R) of exp(c). hidden, weight, slope are descriptors.

    Programs stay and take every PROGRAMS-th tile, so that the loads of the next tile run under the end of this one.
    Tiles run down the rows first: a chunk of hidden stays in the L2 cache while weight passes once.
    """
    row_blocks = tl.cdiv(rows, BLOCK_R)
    tiles = row_blocks * tl.cdiv(vocabulary, BLOCK_V)
    for tile in tl.range(tl.program_id(0), tiles, PROGRAMS, flatten=True):
        row, block = (tile % row_blocks) * BLOCK_R, tile // row_blocks
        z = tl.zeros((BLOCK_R, BLOCK_V), dtype=tl.float32)
        for d in range(0, width, BLOCK_D):
            z = tl.dot(hidden.load([row, d]), weight.load([block * BLOCK_V, d]).T, z, input_precision=PRECISION)
        r = row + tl.arange(0, BLOCK_R)
        # In halves: a smaller staging buffer for the store leaves room for one more stage of loads.
        left, right = tl.split(tl.permute(tl.reshape(z, (BLOCK_R, 2, BLOCK_V // 2)), (0, 2, 1)))
        column = block * BLOCK_V
        sum_R = finish_half(left, slope, row, column, vocabulary, softcap, BLOCK_V // 2, STORE, WHOLE, NATIVE)
        column += BLOCK_V // 2
        sum_R += finish_half(right, slope, row, column, vocabulary, softcap, BLOCK_V // 2, STORE, WHOLE, NATIVE)
        tl.store(sums_ptr + block * rows + r, sum_R, mask=r < rows)


def serves(hidden_ND: Tensor, weight_VD: Tensor) -> bool:
    """Whether the tensors fit the copy engine, and the GPU has matrix units and shared memory for these tiles."""
    aligned = all(x.data_ptr() % 16 == 0 and x.shape[1] * x.itemsize % 16 == 0 for x in (hidden_ND, weight_VD))
    if interpreted(product_kernel):
        return aligned
    if hidden_ND.dtype != torch.bfloat16 or not aligned:
        return False
    return torch.cuda.get_device_capability(hidden_ND.device)[0] in DATA_CENTRE_MAJORS


def slope_and_sums(hidden_RD: Tensor, weight_VD: Tensor, softcap: float, slope_RV: Tensor | None) -> Tensor:
    """Fills slope_RV, if given, and returns the sums of exp(c), (blocks, R) in fp32."""
    (rows, width), vocabulary = hidden_RD.shape, weight_VD.shape[0]
    blocks = Blocks.of_product(interpreted(product_kernel), rows)
    column_blocks = triton.cdiv(vocabulary, blocks.v)
    sums = hidden_RD.new_empty(column_blocks, rows, dtype=torch.float32)
    hidden = TensorDescriptor.from_tensor(hidden_RD, [blocks.r, blocks.d])
    weight = TensorDescriptor.from_tensor(weight_VD, [blocks.v, blocks.d])
    # Without slopes the argument is not used; weight stands in for it.
    slope = weight if slope_RV is None else TensorDescriptor.from_tensor(slope_RV, [blocks.r, blocks.v // 2])
    count = min(programs(hidden_RD), triton.cdiv(rows, blocks.r) * column_blocks)
    with on_device(hidden_RD):
        product_kernel[(count,)](
            hidden,
            weight,
            slope,
            sums,
            rows,
            vocabulary,
            width,
            softcap,
            PROGRAMS=count,
            BLOCK_R=blocks.r,
            BLOCK_V=blocks.v,
            BLOCK_D=blocks.d,
            STORE=slope_RV is not None,
            WHOLE=vocabulary % blocks.v == 0,
            PRECISION="ieee",
            NATIVE=not interpreted(product_kernel),
            num_warps=8,
            num_stages=4,
        )
    return sums
