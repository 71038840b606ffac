"""Where and how large kernels are launched: on the tensors' GPU, or in Triton's interpreter on the CPU."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import triton
from attrs import frozen
from torch import Tensor
from triton.runtime.interpreter import InterpretedFunction

from nanoplug.errors import ContractError


@frozen
class Blocks:
    """Rows, columns of the vocabulary, and width of a tile."""

    r: int
    v: int
    d: int

    @classmethod
    def of_product(cls, in_interpreter: bool, rows: int) -> Blocks:
        """For the GPU the fastest of those measured on an H200; the interpreter wants few and large ones."""
        return cls(min(4096, triton.next_power_of_2(rows)), 128, 64) if in_interpreter else cls(128, 256, 64)


def interpreted(kernel: Any) -> bool:
    """Triton's interpreter was chosen before `kernel` was defined."""
    return isinstance(kernel, InterpretedFunction)


def check_device(name: str, in_interpreter: bool, x: Tensor) -> None:
    """Raise ContractError unless kernels can run where x is, in its dtype."""
    if in_interpreter:
        if x.is_cuda or x.dtype == torch.bfloat16:
            raise ContractError(
                f"{name}: Triton's interpreter takes fp32 or fp16 on the CPU, got {x.dtype} on {x.device}."
            )
    elif not x.is_cuda:
        raise ContractError(
            f"{name}: serves CUDA devices, got a tensor on {x.device}.", todo="Use kernel 'auto', or move the tensors."
        )


def on_device(x: Tensor) -> AbstractContextManager[object]:
    """Triton launches on the current device; make it that of x."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()


def programs(x: Tensor) -> int:
    """Programs that stay on the device at once, one for each multiprocessor."""
    return torch.cuda.get_device_properties(x.device).multi_processor_count if x.is_cuda else 3


def row_block(kernel: Any, rows: int, columns: int, elements: int = 4096) -> int:
    """Rows of a tile with `columns` columns and about `elements` elements; the interpreter wants few and large ones."""
    target = 2**20 if interpreted(kernel) else elements
    return int(max(1, min(triton.next_power_of_2(max(1, rows)), target // triton.next_power_of_2(columns))))
