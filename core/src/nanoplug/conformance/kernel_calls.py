"""The points of the loss grids: which calls are made, on which inputs, with which error allowed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from attrs import evolve, frozen
from torch import Tensor

from nanoplug.conformance.kernel_oracle import exact_logits, loss_rows, plain_logits, reduce_rows
from nanoplug.conformance.law import Case, Subject
from nanoplug.conformance.measure import DTYPE, nearer_than_twice, normal, worst
from nanoplug.conformance.targets import check_targets
from nanoplug.spec import DTYPES, KernelSpec

LOSSES = ("linear_cross_entropy", "cross_entropy")
LIMIT_FP32, GRADIENT_LIMIT_FP32 = 2e-5, 1e-4
FLOOR_ROUNDED = {"bf16": 2.0**-8, "fp16": 2.0**-11}


@frozen(kw_only=True)
class Loss:
    """One loss call. ignored: every how manieth row has no target, 0 for none. scale: standard deviation of logits."""

    op: str
    dtype: str
    rows: int = 33
    vocabulary: int = 101
    width: int = 40
    softcap: float | None = None
    reduction: str = "mean"
    ignored: int = 4
    ignore_index: int = -1
    scale: float = 3.0

    def case(self) -> Case:
        width = f" D{self.width}" if self.op == LOSSES[0] else ""
        parts = [self.op, self.dtype, f"N{self.rows}{width} V{self.vocabulary}", self.reduction]
        parts += [f"softcap {self.softcap:g}"] if self.softcap else []
        parts += ["none ignored" if not self.ignored else "all ignored"] if self.ignored in (0, 1) else []
        parts += [f"ignore_index {self.ignore_index}"] if self.ignore_index != -1 else []
        parts += [f"logits x{self.scale:g}"] if self.scale != 3.0 else []
        return Case(" ".join(parts), {"loss": self})

    def tensors(self, device: str) -> list[Tensor]:
        """hidden (N, D) and weight (V, D), or logits (N, V): what the call has a gradient for."""
        if self.op == "cross_entropy":
            made = [normal(21, self.rows, self.vocabulary, scale=self.scale)]
        else:
            weight = normal(23, self.vocabulary, self.width, scale=self.scale / self.width**0.5)
            made = [normal(22, self.rows, self.width), weight]
        return [x.to(device=device, dtype=DTYPE[self.dtype]) for x in made]

    def targets(self, device: str) -> Tensor:
        targets_N = torch.randint(0, self.vocabulary, (self.rows,), generator=torch.Generator().manual_seed(24))
        if self.ignored:
            targets_N[:: self.ignored] = self.ignore_index
        check_targets("the grid", targets_N, self.vocabulary, self.ignore_index)
        return targets_N.to(device)

    def run(self, kernel: Any, tensors: list[Tensor], targets_N: Tensor) -> Tensor:
        """The backend's own answer."""
        result: Tensor = getattr(kernel, self.op)(
            *tensors, targets_N, softcap=self.softcap, ignore_index=self.ignore_index, reduction=self.reduction
        )
        return result

    def exact(self, tensors: list[Tensor], targets_N: Tensor) -> Tensor:
        """The loss in fp64 on the CPU. Differentiable."""
        logits = exact_logits(*tensors) if len(tensors) == 2 else tensors[0].cpu().double()
        return self._reduced(logits, targets_N)

    def plain(self, tensors: list[Tensor], targets_N: Tensor) -> Tensor:
        """The plain operation in the dtype of the inputs, on the CPU. Differentiable."""
        logits = plain_logits(*tensors) if len(tensors) == 2 else tensors[0].cpu().float()
        return self._reduced(logits, targets_N)

    def _reduced(self, logits_NV: Tensor, targets_N: Tensor) -> Tensor:
        targets_N = targets_N.cpu()
        rows_N = loss_rows(logits_NV, targets_N, self.softcap, self.ignore_index)
        return reduce_rows(rows_N, targets_N, self.ignore_index, self.reduction)

    def limit(self, tensors: list[Tensor], targets_N: Tensor) -> float:
        """Largest allowed error: by the plain operation's worst row; over many rows roundings average out."""
        each = evolve(self, reduction="none")
        exact_N = each.exact(tensors, targets_N)
        limit = LIMIT_FP32 * max(1.0, float(exact_N.abs().max()))
        if self.dtype != "fp32" and self.op == LOSSES[0]:
            plain_error, floor = worst(each.plain(tensors, targets_N), exact_N), FLOOR_ROUNDED[self.dtype]
            limit = nearer_than_twice(plain_error, floor=floor)
            if self.reduction != "none":
                limit = min(limit, 4 * plain_error / self.rows**0.5 + floor)
        return limit * (self.rows if self.reduction == "sum" else 1)


def gradient_limit(dtype: str, plain: Tensor, exact: Tensor) -> float:
    """In units of the gradient's largest element: 1e-4 in fp32, else by the plain operation's own error."""
    size = float(exact.abs().max())
    if dtype == "fp32":
        return GRADIENT_LIMIT_FP32 * size
    return nearer_than_twice(worst(plain, exact), floor=FLOOR_ROUNDED[dtype] * size)


def spec_of(subject: Subject) -> KernelSpec:
    if not isinstance(subject.spec, KernelSpec):
        raise TypeError(f"{subject.name} is declared as {type(subject.spec).__name__}, not KernelSpec")
    return subject.spec


def dtypes_of(spec: KernelSpec) -> list[str]:
    """The declared dtypes that the laws know, the exact one first."""
    return [name for name in DTYPES if name in spec.dtypes]


def losses_of(spec: KernelSpec) -> list[str]:
    return [op for op in LOSSES if op in spec.ops]


def plain_reduction(spec: KernelSpec) -> str:
    """The reduction for laws that are about something else."""
    return next(name for name in ("mean", "sum", "none") if name in spec.reductions)


def loss_cases(subject: Subject, changes: Iterable[dict[str, Any]], *, first_dtype_only: bool = False) -> list[Case]:
    """Each declared loss op in each declared dtype with each of `changes`."""
    spec = spec_of(subject)
    dtypes = dtypes_of(spec)[: 1 if first_dtype_only else None]
    default = plain_reduction(spec)
    return [
        Loss(**{"op": op, "dtype": dtype, "reduction": default, **change}).case()
        for op in losses_of(spec)
        for dtype in dtypes
        for change in changes
    ]
