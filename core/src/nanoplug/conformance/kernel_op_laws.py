"""The laws of `rms_norm` and `rotary`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from nanoplug.conformance import kernel_op_wrong as wrong
from nanoplug.conformance.kernel_calls import dtypes_of, gradient_limit, spec_of
from nanoplug.conformance.kernel_oracle import rms_norm_exactly, rotary_exactly
from nanoplug.conformance.kernel_wrong import COMPILES
from nanoplug.conformance.law import Case, Law, Measured, Subject
from nanoplug.conformance.measure import (
    DTYPE,
    compiled,
    full_precision,
    gradients,
    normal,
    require,
    require_close,
    require_equal,
    require_refusal,
    worst,
)

FP32_EPS = 1.1920929e-07
LIMIT_FP32, ROUNDINGS = 1e-5, {"fp32": 0.0, "bf16": 2.0**-8, "fp16": 2.0**-11}


@frozen(kw_only=True)
class Norm:
    """One rms_norm call."""

    dtype: str
    shape: tuple[int, ...] = (3, 40)
    eps: float = FP32_EPS
    scale: float = 1.0

    def case(self) -> Case:
        size = "x".join(map(str, self.shape))
        return Case(f"{self.dtype} {size} eps {self.eps:.3g} values x{self.scale:g}", {"call": self})

    def tensors(self, device: str) -> list[Tensor]:
        return [normal(31, *self.shape, scale=self.scale).to(device=device, dtype=DTYPE[self.dtype])]

    def run(self, kernel: Any, x: Tensor) -> Tensor:
        result: Tensor = kernel.rms_norm(x, eps=self.eps)
        return result

    def exact(self, x: Tensor) -> Tensor:
        return rms_norm_exactly(x, self.eps)


@frozen(kw_only=True)
class Rotation:
    """One rotary call. tables: rows of cos and sin, 1 or the batch."""

    dtype: str
    shape: tuple[int, int, int, int] = (2, 5, 3, 16)
    tables: int = 1

    def case(self) -> Case:
        return Case(f"{self.dtype} {'x'.join(map(str, self.shape))} tables {self.tables}", {"call": self})

    def angles(self, device: str) -> tuple[Tensor, Tensor]:
        """cos and sin (1 or B, T, E), fp32, of arbitrary angles."""
        angle = normal(32, self.tables, self.shape[1], self.shape[3] // 2, scale=2.0)
        return angle.cos().to(device), angle.sin().to(device)

    def tensors(self, device: str) -> list[Tensor]:
        return [normal(33, *self.shape).to(device=device, dtype=DTYPE[self.dtype])]

    def run(self, kernel: Any, x: Tensor) -> Tensor:
        result: Tensor = kernel.rotary(x, *self.angles(str(x.device)))
        return result

    def exact(self, x: Tensor) -> Tensor:
        return rotary_exactly(x, *self.angles("cpu"))


def _calls(op: str, *calls: Callable[[str], Norm | Rotation], flag: str = "", rounded: bool = False) -> Any:
    """Each call in each dtype, if the spec has `op` and, where named, `flag`; `rounded` leaves fp32 out."""

    def cases(subject: Subject) -> list[Case]:
        spec = spec_of(subject)
        if op not in spec.ops or (flag and not getattr(spec, flag)):
            return []
        dtypes = [name for name in dtypes_of(spec) if not (rounded and name == "fp32")]
        return [call(dtype).case() for dtype in dtypes for call in calls]

    return cases


def check_op(subject: Subject, case: Case) -> Measured:
    """The result equals the exact one within the rounding of the dtype, and no input is written to."""
    call: Norm | Rotation = case.values["call"]
    (x,) = call.tensors(subject.device)
    copy = x.clone()
    with full_precision(), torch.no_grad():
        got = call.run(subject.backend, copy)
    require_equal("the input after the call", copy, x)
    require(got.dtype == x.dtype, f"the result is {got.dtype}, must be {x.dtype}")
    exact = call.exact(x)
    size = max(1.0, float(exact.abs().max()))
    limit = LIMIT_FP32 * size + 2 * worst(exact.to(x.dtype), exact) + ROUNDINGS[call.dtype] * size / 4
    return require_close("the result", got, exact, limit)


def check_op_gradients(subject: Subject, case: Case) -> Measured:
    """The gradient is the exact one."""
    call: Norm | Rotation = case.values["call"]
    (x,) = call.tensors(subject.device)
    leaf, exact_leaf = x.requires_grad_(), x.detach().cpu().double().requires_grad_()
    got, exact = call.run(subject.backend, leaf), call.exact(exact_leaf)
    upstream = normal(34, *got.shape).to(got)
    (gradient,) = gradients(got, upstream, [leaf])
    (exact_gradient,) = gradients(exact, upstream.cpu().double(), [exact_leaf])
    require(gradient.dtype == x.dtype, f"the gradient is {gradient.dtype}, must be {x.dtype}")
    limit = gradient_limit(call.dtype, exact_gradient.to(x.dtype), exact_gradient)
    return require_close("the gradient", gradient, exact_gradient, limit)


def check_op_compiles(subject: Subject, case: Case) -> None:
    """One graph under `torch.compile`, with the eager result."""
    call: Norm | Rotation = case.values["call"]
    (x,) = call.tensors(subject.device)
    if isinstance(call, Norm):
        arguments: tuple[Tensor, ...] = (x,)

        def step(*tensors: Tensor) -> Tensor:
            result: Tensor = subject.backend.rms_norm(tensors[0], eps=FP32_EPS)
            return result

    else:
        arguments = (x, *call.angles(subject.device))

        def step(*tensors: Tensor) -> Tensor:
            result: Tensor = subject.backend.rotary(*tensors)
            return result

    got = compiled(step)(*arguments)
    if not isinstance(got, Tensor):
        raise TypeError(f"the op returned {type(got).__name__}")
    require_close("the compiled result", got, step(*arguments), 1e-5 if call.dtype == "fp32" else 2e-2)


def check_op_refusals(subject: Subject, case: Case) -> None:
    """A call that breaks the contract raises a clear error."""
    require_refusal(case.name, lambda: case.values["call"](subject.backend, subject.device))


def _refusal_cases(subject: Subject) -> list[Case]:
    spec = spec_of(subject)
    if not {"rms_norm", "rotary"} & spec.ops:
        return []
    dtype = dtypes_of(spec)[0]

    def rotated(change: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]) -> Any:
        def call(kernel: Any, device: str) -> Tensor:
            rotation = Rotation(dtype=dtype)
            result: Tensor = kernel.rotary(*change(rotation.tensors(device)[0], *rotation.angles(device)))
            return result

        return call

    norms = {"rms_norm: integers": lambda kernel, device: kernel.rms_norm(torch.ones(2, 8).int().to(device), eps=1e-6)}
    rotations = {
        "rotary: x with three axes": rotated(lambda x, c, s: (x[0], c, s)),
        "rotary: tables of another width": rotated(lambda x, c, s: (x, c[..., :-1], s[..., :-1])),
        "rotary: tables of another length": rotated(lambda x, c, s: (x, c[:, :-1], s[:, :-1])),
        "rotary: tables of another batch": rotated(lambda x, c, s: (x, c.expand(3, -1, -1), s.expand(3, -1, -1))),
        "rotary: an odd head size": rotated(lambda x, c, s: (x[..., :-1], c, s)),
    }
    chosen = {**(norms if "rms_norm" in spec.ops else {}), **(rotations if "rotary" in spec.ops else {})}
    return [Case(name, {"call": call}) for name, call in chosen.items()]


def _compile_cases(subject: Subject) -> list[Case]:
    spec = spec_of(subject)
    dtype = dtypes_of(spec)[0]
    calls = {"rms_norm": Norm(dtype=dtype).case(), "rotary": Rotation(dtype=dtype).case()}
    return [case for op, case in calls.items() if op in spec.ops and spec.compile_safe]


_NORMS = (
    lambda dtype: Norm(dtype=dtype),
    lambda dtype: Norm(dtype=dtype, shape=(2, 5, 3, 64)),
    lambda dtype: Norm(dtype=dtype, shape=(1, 1)),
    lambda dtype: Norm(dtype=dtype, shape=(2, 7, 96), scale=20.0),
)
_TINY = (
    lambda dtype: Norm(dtype=dtype, scale=2e-4, eps=FP32_EPS),
    lambda dtype: Norm(dtype=dtype, scale=2e-4, eps=1e-6),
    lambda dtype: Norm(dtype=dtype, scale=0.0),
)
_ROTATIONS = (
    lambda dtype: Rotation(dtype=dtype),
    lambda dtype: Rotation(dtype=dtype, shape=(1, 1, 1, 8)),
    lambda dtype: Rotation(dtype=dtype, shape=(3, 33, 2, 64)),
)

OP_LAWS: tuple[Law, ...] = (
    Law(
        name="rms_norm",
        says="x / sqrt(mean(x^2) + eps) over the last axis, in the dtype of x.",
        cases=_calls("rms_norm", *_NORMS),
        check=check_op,
        wrong=wrong.RMS_NORM,
    ),
    Law(
        name="rms_norm_eps",
        says="The eps that is given is the eps that is used.",
        cases=_calls("rms_norm", *_TINY),
        check=check_op,
        wrong=wrong.RMS_NORM_EPS,
    ),
    Law(
        name="rms_norm_in_fp32",
        says="The mean is accumulated in fp32, also for bf16 and fp16.",
        cases=_calls("rms_norm", lambda dtype: Norm(dtype=dtype, shape=(3, 1000), scale=400.0), rounded=True),
        check=check_op,
        wrong=wrong.RMS_NORM_IN_FP32,
    ),
    Law(
        name="rms_norm_gradients",
        says="The gradient of rms_norm is the exact one.",
        cases=_calls("rms_norm", *_NORMS[:2], flag="backward"),
        check=check_op_gradients,
        wrong=wrong.RMS_NORM_GRADIENTS,
    ),
    Law(
        name="rotary",
        says="The two halves are rotated: y1 = x1*cos + x2*sin, y2 = x2*cos - x1*sin.",
        cases=_calls("rotary", *_ROTATIONS),
        check=check_op,
        wrong=wrong.ROTARY,
    ),
    Law(
        name="rotary_rows",
        says="Each row of the batch has its own angles where they are given.",
        cases=_calls("rotary", lambda dtype: Rotation(dtype=dtype, tables=2)),
        check=check_op,
        wrong=wrong.ROTARY_ROWS,
    ),
    Law(
        name="rotary_gradients",
        says="The gradient of rotary is the exact one.",
        cases=_calls("rotary", *_ROTATIONS[:1], flag="backward"),
        check=check_op_gradients,
        wrong=wrong.ROTARY_GRADIENTS,
    ),
    Law(
        name="op_refusals",
        says="Wrong shapes and dtypes of rms_norm and rotary raise a clear error.",
        cases=_refusal_cases,
        check=check_op_refusals,
        wrong=wrong.OP_REFUSALS,
    ),
    Law(
        name="ops_compile",
        says="No graph break in rms_norm and rotary.",
        cases=_compile_cases,
        check=check_op_compiles,
        wrong=COMPILES,
    ),
)
