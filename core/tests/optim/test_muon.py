from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nanoplug.errors import ContractError
from nanoplug.optim.muon import Muon
from nanoplug.optim.orthogonalize import QUINTIC

SHAPES = {"square": (24, 24), "square2": (24, 24), "tall": (40, 10), "wide": (10, 40), "wide2": (10, 40)}
COEFFICIENTS = [
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
]


def _parameters(dtype: torch.dtype = torch.float32) -> dict[str, nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return {name: nn.Parameter(torch.randn(s, generator=generator, dtype=dtype)) for name, s in SHAPES.items()}


def _gradients(step: int, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(100 + step)
    return {name: torch.randn(s, generator=generator, dtype=dtype) * 10 ** (-step % 3) for name, s in SHAPES.items()}


def _give(parameters: dict[str, nn.Parameter], gradients: dict[str, Tensor]) -> None:
    for name, parameter in parameters.items():
        parameter.grad = gradients[name].clone()


def _largest_difference(a: dict[str, nn.Parameter], b: dict[str, Any]) -> float:
    return max(float((a[name] - b[name]).detach().abs().max()) for name in a)


@pytest.mark.parametrize("momentum, tolerance", [(0.9375, 1e-5), (0.95, 2e-3)])
def test_without_extras_it_is_torchs_muon(momentum: float, tolerance: float) -> None:
    """Both orthogonalise in bf16; after 25 steps of 0.02 parameters have moved by about 0.3.

    With 15/16 both see the same fp32 momentum and differ by fp32 rounding alone. With 0.95 the last bit of
    1 - 0.95 differs (fp32 here, fp64 there), which now and then rounds to another bf16.
    """
    ours, theirs = _parameters(), _parameters()
    start = {name: parameter.detach().clone() for name, parameter in ours.items()}
    muon = Muon(ours, variance_reduction=False, cautious=False, iteration=QUINTIC, dtype=torch.bfloat16)
    reference = torch.optim.Muon(list(theirs.values()), lr=0.02, momentum=momentum, weight_decay=0.1)
    muon.momentum, muon.weight_decay = momentum, 0.1
    for step in range(25):
        _give(ours, _gradients(step))
        _give(theirs, _gradients(step))
        muon.lr = reference.param_groups[0]["lr"] = 0.02 * (1 - step / 50)
        muon.step()
        reference.step()
        assert _largest_difference(ours, theirs) <= tolerance, step
    assert _largest_difference(ours, start) > 0.2


class PlainMuon:
    """The variant once more: one matrix at a time, fp64, from its description. `wrong` breaks one rule."""

    def __init__(self, parameters: dict[str, Tensor], wrong: str = "") -> None:
        self.theta = parameters
        self.m = {name: torch.zeros_like(theta) for name, theta in parameters.items()}
        self.s: dict[str, Tensor] = {}
        self.wrong = wrong

    def step(self, gradients: dict[str, Tensor], lr: float, mu: float, wd: float) -> None:
        for name, g in gradients.items():
            m, theta = self.m[name], self.theta[name]
            m += (1 - mu) * (g - m)
            u = self._polar(m if self.wrong == "no nesterov" else g + mu * (m - g))
            if self.wrong != "no variance reduction":
                u = self._even(name, u)
            r, c = u.shape
            rate = lr if self.wrong == "no shape factor" else lr * max(1, r / c) ** 0.5
            mask = 1.0 if self.wrong == "not cautious" else (u * theta >= 0).double()
            theta -= rate * u + (lr if self.wrong == "decay by the plain rate" else rate) * wd * theta * mask

    def _polar(self, u: Tensor) -> Tensor:
        tall = u.shape[0] > u.shape[1]
        x = u.T if tall else u
        x = x / ((1.0 if self.wrong == "no safety" else 1.02) * (x**2).sum() ** 0.5 + 1e-6)
        for a, b, c in COEFFICIENTS[: 4 if self.wrong == "four steps" else 5]:
            gram = x @ x.T
            x = a * x + (b * gram + c * gram @ gram) @ x
        return x.T if tall else x

    def _even(self, name: str, u: Tensor) -> Tensor:
        along = 1 if u.shape[0] >= u.shape[1] else 0
        v = (u**2).mean(1 - along if self.wrong == "other axis" else along, keepdim=True)
        s = self.s.setdefault(name, torch.zeros_like(v))
        s += 0.05 * (v - s)
        scaled = u / s.clamp(min=1e-10).sqrt()
        return scaled if self.wrong == "norm not kept" else scaled * (u**2).sum().sqrt() / (scaled**2).sum().sqrt()


def _run_both(dtype: torch.dtype, wrong: str = "") -> float:
    """Largest difference from the plain implementation over 12 steps with changing rates."""
    parameters = _parameters(dtype)
    plain = PlainMuon({name: p.detach().double().clone() for name, p in parameters.items()}, wrong)
    muon = Muon(parameters, dtype=dtype)
    worst = 0.0
    for step in range(12):
        gradients = _gradients(step, torch.float64)
        lr, mu, wd = 0.02 * (1 - step / 24), 0.85 + 0.005 * step, 0.5 * (1 - step / 12)
        _give(parameters, {name: g.to(dtype) for name, g in gradients.items()})
        muon.lr, muon.momentum, muon.weight_decay = lr, mu, wd
        muon.step()
        plain.step(gradients, lr, mu, wd)
        worst = max(worst, _largest_difference(parameters, plain.theta))
    return worst


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 5e-6)])
def test_with_extras_it_is_the_plain_implementation(dtype: torch.dtype, tolerance: float) -> None:
    assert _run_both(dtype) <= tolerance


@pytest.mark.parametrize(
    "wrong",
    [
        "no nesterov",
        "no variance reduction",
        "other axis",
        "norm not kept",
        "no shape factor",
        "not cautious",
        "decay by the plain rate",
        "no safety",
        "four steps",
    ],
)
def test_the_comparison_notices_a_broken_rule(wrong: str) -> None:
    assert _run_both(torch.float64, wrong) > 1e-4


def test_a_parameter_without_gradient_is_left_alone() -> None:
    parameters, alone = _parameters(), _parameters()
    present = [name for name in parameters if name not in ("square2", "tall")]
    muon, reference = Muon(parameters), Muon({name: alone[name] for name in present})
    for step in range(3):
        for optimizer, given in ((muon, parameters), (reference, alone)):
            for name in present:
                given[name].grad = _gradients(step)[name].clone()
            optimizer.weight_decay = 0.1
            optimizer.step()
    untouched = _parameters()
    for name in parameters:
        expected = alone[name] if name in present else untouched[name]
        torch.testing.assert_close(parameters[name], expected, rtol=0, atol=2e-3)
        assert (muon.state_tensors()[f"{name}/momentum"].abs().sum() > 0) == (name in present)


def test_only_matrices_are_accepted() -> None:
    with pytest.raises(ContractError, match=r"bias has shape \(3,\)"):
        Muon({"bias": nn.Parameter(torch.zeros(3))})


def test_a_compiled_step_is_the_same_and_serves_all_rates() -> None:
    torch.compiler.reset()
    compiled_functions = 0

    def compile(function: Callable[..., Any]) -> Callable[..., Any]:
        nonlocal compiled_functions
        compiled_functions += 1
        return torch.compile(function, fullgraph=True, dynamic=False, backend="eager")

    eager, compiled = _parameters(), _parameters()
    optimizers = Muon(eager), Muon(compiled, compile=compile)
    assert compiled_functions == 1

    def step(number: int) -> None:
        for muon, parameters in zip(optimizers, (eager, compiled), strict=True):
            _give(parameters, _gradients(number))
            muon.lr, muon.momentum, muon.weight_decay = 0.02 / (number + 1), 0.85 + 0.01 * number, 0.1 / (number + 1)
            muon.step()

    step(0)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for number in range(1, 5):
            step(number)
    assert _largest_difference(eager, compiled) == 0


def test_state_has_the_factored_shapes() -> None:
    shapes = {key: tuple(tensor.shape) for key, tensor in Muon(_parameters()).state_tensors().items()}
    assert shapes["tall/momentum"] == (40, 10)
    assert shapes["tall/variance"] == (40, 1)
    assert shapes["wide/variance"] == (1, 40)
    assert shapes["square/variance"] == (24, 1)
