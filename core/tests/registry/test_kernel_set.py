from __future__ import annotations

import pytest

from nanoplug.errors import PluginError
from nanoplug.registry.kernel_set import KernelSet, functions_of, missing_ops
from nanoplug.spec import KERNEL_OPS, KernelSpec

SPEC = KernelSpec(name="k", summary="", load="m:o", ops={"rotary", "rms_norm"})


class Norms:
    def rms_norm(self) -> str:
        return "own"

    def rotary(self) -> str:
        return "own"

    def cross_entropy(self) -> str:
        return "not declared"


def test_what_is_missing_and_what_is_there() -> None:
    assert missing_ops(SPEC) == ("linear_cross_entropy", "cross_entropy")
    assert set(functions_of(Norms(), SPEC, "kernel 'k'")) == {"rms_norm", "rotary"}


def test_a_declared_function_that_is_not_there_is_an_error() -> None:
    with pytest.raises(PluginError, match="rms_norm"):
        functions_of(object(), SPEC, "kernel 'k'")


def test_a_set_has_all_functions_and_says_whose_they_are() -> None:
    kernel = KernelSet({op: (lambda op=op: op) for op in KERNEL_OPS}, {op: f"d:{op}" for op in KERNEL_OPS})
    assert [getattr(kernel, op)() for op in KERNEL_OPS] == list(KERNEL_OPS)
    assert kernel.providers["rotary"] == "d:rotary"


def test_calls_through_a_set_do_not_break_the_graph() -> None:
    torch = pytest.importorskip("torch")

    class Scale:
        def rms_norm(self, x: object, *, eps: float) -> object:
            return x * eps  # type: ignore[operator]

    kernel = KernelSet({op: Scale().rms_norm for op in KERNEL_OPS}, {})
    compiled = torch.compile(lambda x: kernel.rms_norm(x, eps=2.0) + 1, fullgraph=True, backend="eager")
    assert compiled(torch.ones(2)).tolist() == [3.0, 3.0]
