"""Holds the laws against this backend in Triton's CPU interpreter, and prints one JSON line for each law.

Run by `test_conformance.py` in a process of its own, where TRITON_INTERPRET=1 holds before any kernel is imported.
The interpreter lacks two things that the library's kernels use, so they are put in their place, in this process alone:
the device's mathematics library, and arguments that are floats. bf16 is left out, since the interpreter rounds it
wrongly, and so are the largest cases.
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

MOST_ROWS = 300
OF_MANY_ROWS = ("many_rows", "gradients_of_many_rows")


def elementwise(function: Callable[[np.ndarray], np.ndarray]) -> Callable[[tl.tensor], tl.tensor]:
    def interpreted(x: tl.tensor) -> tl.tensor:
        return tl.tensor(interpreter.TensorHandle(function(x.handle.data), x.handle.dtype), x.type)

    return interpreted


def complete_the_interpreter() -> None:
    libdevice.tanh = elementwise(np.tanh)
    libdevice.log1p = elementwise(np.log1p)
    convert = interpreter._implicit_cvt

    def convert_floats_too(argument: Any) -> Any:
        if isinstance(argument, float):
            return tl.tensor(interpreter.TensorHandle(np.array([argument], np.float32), tl.float32), tl.float32)
        return convert(argument)

    interpreter._implicit_cvt = convert_floats_too


def small(law: Law) -> Law:
    """The law on those of its cases that the interpreter runs in reasonable time."""

    def cases(subject: Subject) -> list[Case]:
        return [case for case in law.cases(subject) if law.name in OF_MANY_ROWS or _rows(case) <= MOST_ROWS]

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
    from nanoplug_kernel_cce.kernel import CutKernel  # only now may its kernels be imported
    from nanoplug_kernel_cce.manifest import nanoplug_kernel

    spec = evolve(nanoplug_kernel()[0], dtypes={"fp16"})
    laws = laws_for("kernel")
    report(Subject(kind="kernel", name="cce", spec=spec, backend=CutKernel()), list(laws))
    options = {"filter": CutKernel(filter=True), "pass_rows": CutKernel(pass_rows=16)}
    for name, backend in options.items():
        subject = Subject(kind="kernel", name=name, spec=spec, backend=backend)
        report(subject, [law for law in laws if law.name in ("loss_gradients", "gradients_of_each_row")])


if __name__ == "__main__":
    main()
