"""Laws for kernels written in Triton, on the CPU: in Triton's interpreter, in a process of its own.

Whether kernels are interpreted is settled when they are imported. A script therefore does it: it calls
`complete_the_interpreter`, imports its kernels, and calls `report`; `laws_in_interpreter` runs it and reads what came.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Container, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from attrs import asdict, evolve, frozen
from numpy.typing import NDArray

from nanoplug.conformance.law import Case, Law, Subject, survivors, verify
from nanoplug.errors import PluginError

_SHOWN_CHARS = 4000
_Function = Callable[[NDArray[Any]], NDArray[Any]]
_FUNCTIONS: dict[str, _Function] = {"tanh": np.tanh, "log1p": np.log1p, "rsqrt": lambda x: 1 / np.sqrt(x)}


@frozen
class Judged:
    """What a script reported of one law. law: `subject: name`. cases: that were judged. broken: what went wrong.

    survivors: wrong implementations that the law did not reject.
    """

    law: str
    cases: int
    broken: tuple[str, ...]
    survivors: tuple[str, ...]


def laws_in_interpreter(script: Path, *, timeout_s: float = 500) -> list[Judged]:
    """Run `script` with Triton's interpreter on and no GPU. Raises PluginError if it fails, with what it said."""
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if done.returncode:
        raise PluginError(f"{script} failed in Triton's interpreter.", details=done.stderr[-_SHOWN_CHARS:].splitlines())
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return [Judged(line["law"], line["cases"], tuple(line["broken"]), tuple(line["survivors"])) for line in lines]


def complete_the_interpreter() -> None:
    """Put what the interpreter lacks in its place, in this process: the device's mathematics, and float arguments.

    To be called before kernels are imported.
    """
    import triton.language as tl
    from triton.language.extra import libdevice
    from triton.runtime import interpreter

    def elementwise(function: _Function) -> Callable[[Any], Any]:
        def interpreted(x: Any) -> Any:
            return tl.tensor(interpreter.TensorHandle(function(x.handle.data), x.handle.dtype), x.type)

        return interpreted

    for name, function in _FUNCTIONS.items():
        setattr(libdevice, name, elementwise(function))
    convert = interpreter._implicit_cvt

    def convert_floats_too(argument: Any) -> Any:
        if isinstance(argument, float):
            return tl.tensor(interpreter.TensorHandle(np.array([argument], np.float32), tl.float32), tl.float32)
        return convert(argument)

    interpreter._implicit_cvt = convert_floats_too


def report(subject: Subject, laws: Iterable[Law], *, most_rows: int, whole: Container[str] = ()) -> None:
    """Print one JSON line for each law. Cases of more rows than `most_rows` are left out, but not of laws in `whole`.

    bf16 is to be left out of the spec of `subject`: the interpreter rounds it wrongly.
    """

    def small(law: Law) -> Law:
        def cases(subject: Subject) -> list[Case]:
            return [case for case in law.cases(subject) if law.name in whole or _rows(case) <= most_rows]

        return evolve(law, cases=cases)

    for law in map(small, laws):
        outcomes = verify([law], subject)
        judged = Judged(
            law=f"{subject.name}: {law.name}",
            cases=sum(not outcome.skipped for outcome in outcomes),
            broken=tuple(f"{outcome.case}: {outcome.detail}" for outcome in outcomes if not outcome.ok),
            survivors=tuple(survivors(law, subject)),
        )
        print(json.dumps(asdict(judged)), flush=True)


def _rows(case: Case) -> int:
    rows: int = getattr(case.values.get("loss"), "rows", 0)
    return rows
