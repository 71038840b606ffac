"""How laws make inputs, call backends with the gradient, and measure errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from nanoplug.conformance.law import Broken, Measured
from nanoplug.errors import NanoplugError

DTYPE = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

# What a refusal may look like: an error on purpose, or the ones that Python and torch use for a bad argument.
REFUSALS = (NanoplugError, ValueError, TypeError, NotImplementedError)


@contextmanager
def full_precision() -> Iterator[None]:
    """fp32 matrix products in full fp32, whatever the process had chosen; restored afterwards."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def normal(seed: int, *shape: int, scale: float = 1.0) -> Tensor:
    """Standard normal values times `scale`, fp32 on the CPU, the same on every machine."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


def worst(got: Tensor, want: Tensor) -> float:
    """Largest absolute difference, in fp64 on the CPU; infinite where `got` is NaN or infinite."""
    if want.numel() == 0:
        return 0.0
    difference = (got.detach().cpu().double() - want.detach().cpu().double()).abs()
    return float(torch.nan_to_num(difference, nan=torch.inf, posinf=torch.inf).max())


def require(holds: bool, detail: str) -> None:
    """Raise Broken with `detail` unless `holds`."""
    if not holds:
        raise Broken(detail)


def require_close(what: str, got: Tensor, want: Tensor, limit: float) -> Measured:
    """The measured error, or Broken if shapes differ, a value is not finite, or the error is above `limit`."""
    require(got.shape == want.shape, f"{what} is {tuple(got.shape)}, must be {tuple(want.shape)}")
    error = worst(got, want)
    if not error <= limit:
        raise Broken(f"{what} is off by {error:.3g}, limit {limit:.3g}", error=error, limit=limit)
    return Measured(error, limit)


def require_equal(what: str, got: Tensor, want: Tensor) -> None:
    """Broken unless shape, dtype and every bit agree."""
    require(got.shape == want.shape, f"{what} is {tuple(got.shape)}, must be {tuple(want.shape)}")
    require(got.dtype == want.dtype, f"{what} is {got.dtype}, must be {want.dtype}")
    if not torch.equal(got, want):
        raise Broken(f"{what} differs: by {worst(got, want):.3g} at most", error=worst(got, want), limit=0.0)


def require_refusal(what: str, call: Callable[[], object]) -> None:
    """Broken unless `call` raises an error that reads as a refusal."""
    try:
        call()
    except REFUSALS:
        return
    except Exception as error:
        raise Broken(f"{what}: must be refused with a ContractError, raised {type(error).__name__}: {error}") from error
    raise Broken(f"{what}: must be refused with a ContractError, was accepted")


def nearer_than_twice(plain_error: float, *, floor: float, ceiling: float = float("inf")) -> float:
    """The limit for a rounded dtype: twice the plain operation's error and a small floor, `ceiling` at most."""
    return min(2 * plain_error + floor, ceiling)


def worst_of(results: Sequence[Measured]) -> Measured:
    """The result that came closest to its limit."""
    return max(results, key=lambda m: (m.error or 0.0) / m.limit if m.limit else 0.0, default=Measured())


def gradients(output: Tensor, upstream: Tensor, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Gradients of `inputs`; Broken if one of them got none."""
    require(output.requires_grad, "the output does not depend on its inputs for autograd")
    found = torch.autograd.grad(output, list(inputs), upstream, allow_unused=True)
    missing = [index for index, gradient in enumerate(found) if gradient is None]
    require(not missing, f"no gradient reaches the inputs numbered {missing}")
    return [gradient for gradient in found if gradient is not None]


def compiled(function: Callable[..., object], *, backend: str = "aot_eager") -> Callable[..., object]:
    """`function` under `torch.compile` as one graph; a graph break raises when it is called."""
    torch.compiler.reset()
    result: Callable[..., object] = torch.compile(function, fullgraph=True, dynamic=False, backend=backend)
    return result
