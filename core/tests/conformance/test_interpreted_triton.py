from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from nanoplug.conformance.interpreted_triton import Judged, laws_in_interpreter
from nanoplug.errors import PluginError

KERNEL = """
import torch
from nanoplug.conformance.interpreted_triton import complete_the_interpreter
complete_the_interpreter()
import triton
import triton.language as tl
from triton.language.extra import libdevice

@triton.jit
def kernel(x, y, scale, SIZE: tl.constexpr):
    at = tl.arange(0, SIZE)
    value = tl.load(x + at)
    tl.store(y + at, scale * (libdevice.tanh(value) + libdevice.log1p(value) + libdevice.rsqrt(value)))

x, y = torch.linspace(0.5, 2, 8), torch.zeros(8)
kernel[(1,)](x, y, 1.5, SIZE=8)
torch.testing.assert_close(y, 1.5 * (x.tanh() + x.log1p() + x.rsqrt()))
"""
REPORT = """
from nanoplug.conformance.interpreted_triton import report
from nanoplug.conformance.law import Broken, Case, Law, Subject, Wrong

class Loss:
    def __init__(self, rows):
        self.rows = rows

def check(subject, case):
    if case.values["loss"].rows == subject.backend:
        raise Broken("too many")

def law(name):
    cases = [Case(f"{rows} rows", {"loss": Loss(rows)}) for rows in (1, 5, 100)]
    wrong = (Wrong("five", lambda: 5), Wrong("none", lambda: 0))
    return Law(name=name, says="", cases=lambda subject: cases, check=check, wrong=wrong)

report(Subject(kind="kernel", name="k", spec=None, backend=100), [law("few"), law("all")], most_rows=5, whole=["all"])
"""


@pytest.fixture
def script(tmp_path: Path) -> Any:
    def write(text: str) -> Path:
        path = tmp_path / "script.py"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
def test_what_the_interpreter_lacks_is_put_in_its_place(script: Any) -> None:
    assert laws_in_interpreter(script(KERNEL)) == []


def test_laws_are_reported_without_the_largest_cases(script: Any) -> None:
    assert laws_in_interpreter(script(REPORT)) == [
        Judged("k: few", 2, (), ("none",)),
        Judged("k: all", 3, ("100 rows: too many",), ("none",)),
    ]


def test_a_script_that_fails(script: Any) -> None:
    with pytest.raises(PluginError, match=r"script\.py failed in Triton's interpreter") as caught:
        laws_in_interpreter(script("print('{}'); raise RuntimeError('of this')"))
    assert "RuntimeError: of this" in str(caught.value)
