"""Holds the laws against this backend in Triton's CPU interpreter, and prints one JSON line for each law.

Run by `test_conformance.py` in a process of its own, where TRITON_INTERPRET=1 holds before any kernel is imported.
The interpreter lacks two things that Liger's kernels use, so they are put in their place, in this process alone: the
device's mathematics library, and arguments that are floats. bf16 is left out, since the interpreter rounds it wrongly,
and so are cases of many rows, each of which is a program run in Python.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import triton.language as tl
from attrs import asdict, evolve
from triton.language.extra import libdevice
from triton.runtime import interpreter

from nanoplug.conformance.kit import laws_for
from nanoplug.conformance.law import Case, Law, Subject, survivors, verify

MOST_ROWS = 70


def elementwise(function: Callable[[np.ndarray], np.ndarray]) -> Callable[[tl.tensor], tl.tensor]:
    def interpreted(x: tl.tensor) -> tl.tensor:
        return tl.tensor(interpreter.TensorHandle(function(x.handle.data), x.handle.dtype), x.type)

    return interpreted


def complete_the_interpreter() -> None:
    libdevice.tanh = elementwise(np.tanh)
    libdevice.rsqrt = elementwise(lambda x: 1 / np.sqrt(x))
    convert = interpreter._implicit_cvt

    def convert_floats_too(argument: Any) -> Any:
        if isinstance(argument, float):
            return tl.tensor(interpreter.TensorHandle(np.array([argument], np.float32), tl.float32), tl.float32)
        return convert(argument)

    interpreter._implicit_cvt = convert_floats_too


def small(law: Law) -> Law:
    """The law on those of its cases that the interpreter runs in reasonable time."""

    def cases(subject: Subject) -> list[Case]:
        return [case for case in law.cases(subject) if _rows(case) <= MOST_ROWS]

    return evolve(law, cases=cases)


def _rows(case: Case) -> int:
    return getattr(case.values.get("loss"), "rows", 0)


def report(subject: Subject, laws: list[Law]) -> None:
    for law in map(small, laws):
        outcomes = verify([law], subject)
        line = {
            "law": f"{subject.name}: {law.name}",
            "cases": sum(not outcome.skipped for outcome in outcomes),
            "broken": [asdict(outcome) for outcome in outcomes if not outcome.ok],
            "survivors": survivors(law, subject),
        }
        print(json.dumps(line), flush=True)


def main() -> None:
    complete_the_interpreter()
    from nanoplug_kernel_liger.kernel import LigerKernel  # only now may its kernels be imported
    from nanoplug_kernel_liger.manifest import nanoplug_kernel

    spec = evolve(nanoplug_kernel()[0], dtypes={"fp32", "fp16"})
    laws = laws_for("kernel")
    report(Subject(kind="kernel", name="liger", spec=spec, backend=LigerKernel()), list(laws))
    subject = Subject(kind="kernel", name="accumulate_fp32", spec=spec, backend=LigerKernel(accumulate_fp32=True))
    report(subject, [law for law in laws if law.name == "loss_gradients"])


if __name__ == "__main__":
    main()
