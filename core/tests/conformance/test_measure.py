"""Errors are measured, refusals told from accidents, and settings put back."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from nanoplug.conformance.law import Broken, Measured
from nanoplug.conformance.measure import (
    compiled,
    full_precision,
    gradients,
    nearer_than_twice,
    normal,
    require_close,
    require_equal,
    require_refusal,
    worst,
    worst_of,
)
from nanoplug.errors import ContractError


def test_worst_is_infinite_for_what_is_not_finite() -> None:
    zeros = torch.zeros(3)
    assert worst(torch.tensor([0.0, -0.5, 0.25]), zeros) == 0.5
    assert worst(torch.tensor([0.0, torch.nan, 0.0]), zeros) == torch.inf
    assert worst(torch.tensor([0.0, torch.inf, 0.0]), zeros) == torch.inf


def test_close_and_equal_name_what_differs() -> None:
    assert require_close("x", torch.ones(2), torch.ones(2) + 0.5, 1.0) == Measured(0.5, 1.0)
    with pytest.raises(Broken, match=r"x is off by 0.5, limit 0.1"):
        require_close("x", torch.ones(2), torch.ones(2) + 0.5, 0.1)
    with pytest.raises(Broken, match=r"x is \(2,\), must be \(3,\)"):
        require_close("x", torch.ones(2), torch.ones(3), 0.1)
    with pytest.raises(Broken, match=r"x is torch.float64, must be torch.float32"):
        require_equal("x", torch.ones(2).double(), torch.ones(2))
    with pytest.raises(Broken, match="x differs"):
        require_equal("x", torch.ones(2), torch.ones(2) + 1e-6)


def test_only_a_clear_error_is_a_refusal() -> None:
    def refuse(error: Exception) -> object:
        raise error

    for clear in (ContractError("no"), ValueError("no"), NotImplementedError("no")):
        require_refusal("it", partial(refuse, clear))
    with pytest.raises(Broken, match="was accepted"):
        require_refusal("it", lambda: None)
    with pytest.raises(Broken, match="raised RuntimeError: shapes"):
        require_refusal("it", lambda: refuse(RuntimeError("shapes")))


def test_precision_is_put_back_after_an_error() -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with full_precision():
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "high"
        with pytest.raises(ZeroDivisionError), full_precision():
            1 / 0  # noqa: B018
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)


def test_missing_gradients_are_found() -> None:
    x, y = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    with pytest.raises(Broken, match=r"numbered \[1\]"):
        gradients((x * 2).sum(), torch.ones(()), [x, y])
    with pytest.raises(Broken, match="does not depend"):
        gradients(x.detach().sum(), torch.ones(()), [x])


def test_a_graph_break_raises() -> None:
    def broken(x: torch.Tensor) -> torch.Tensor:
        torch._dynamo.graph_break()
        return x + 1

    with pytest.raises(Exception, match=r"(?i)graph"):
        compiled(broken)(torch.ones(2))


def test_limits() -> None:
    assert nearer_than_twice(0.01, floor=0.001) == pytest.approx(0.021)
    assert nearer_than_twice(0.01, floor=0.001, ceiling=0.02) == 0.02
    assert worst_of([Measured(1.0, 10.0), Measured(0.5, 1.0), Measured()]) == Measured(0.5, 1.0)
    assert torch.equal(normal(3, 4, 5), normal(3, 4, 5))
