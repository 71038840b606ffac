from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from nanoplug.errors import CheckpointError
from nanoplug.model.gpt import GPT
from nanoplug.optim.optimizers import Optimizers, build_optimizer
from nanoplug.optim.settings import OptimSettings

Make = Callable[..., GPT]
Fill = Callable[[GPT, int], None]
SETTINGS = OptimSettings(warmup_ratio=0.2)


def _run(model: GPT, optimizer: Optimizers, fill: Fill, steps: range, total: int = 10) -> None:
    for step in steps:
        fill(model, step)
        optimizer.set_step(step, total)
        optimizer.step()
        optimizer.zero_grad()


def _weights(model: GPT) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def _equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(tensor, b[name]) for name, tensor in a.items())


def test_every_parameter_moves_and_gradients_are_dropped(make_model: Make, set_gradients: Fill) -> None:
    model = make_model()
    before = _weights(model)
    optimizer = build_optimizer(model, SETTINGS)
    assert sorted(map(id, optimizer.parameters)) == sorted(map(id, model.parameters()))
    _run(model, optimizer, set_gradients, range(1))
    assert not any(torch.equal(tensor, before[name]) for name, tensor in _weights(model).items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_others_follow_adam(make_model: Make, set_gradients: Fill) -> None:
    """Written out from Kingma and Ba 2015, Algorithm 1, with no weight decay."""
    model = make_model(n_embd=192)
    optimizer = build_optimizer(model, SETTINGS)
    rates = {"lm_head.weight": 0.008, "wte.weight": 0.6, "resid_lambdas": 0.005, "x0_lambdas": 0.5}
    theta = {name: _weights(model)[name].double() for name in rates}
    first = {name: torch.zeros_like(value) for name, value in theta.items()}
    second = {name: torch.zeros_like(value) for name, value in theta.items()}
    for step, factor in enumerate((0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.75)):
        set_gradients(model, step)
        for name in rates:
            gradient = dict(model.named_parameters())[name].grad
            assert gradient is not None
            first[name] = 0.8 * first[name] + 0.2 * gradient.double()
            second[name] = 0.95 * second[name] + 0.05 * gradient.double() ** 2
            root = (second[name] / (1 - 0.95 ** (step + 1))).sqrt() + 1e-10
            theta[name] -= factor * rates[name] * first[name] / (1 - 0.8 ** (step + 1)) / root
        optimizer.set_step(step, 10)
        assert optimizer.lr_factor == pytest.approx(factor)
        optimizer.step()
    for name, expected in theta.items():
        torch.testing.assert_close(_weights(model)[name].double(), expected, rtol=1e-5, atol=1e-6)


def test_schedule_reaches_muon(make_model: Make) -> None:
    optimizer = build_optimizer(make_model(n_layer=6), SETTINGS)
    for step, rate, momentum, decay in (
        (0, 0.01, 0.85, 0.8),
        (5, 0.02, 0.85 + 0.5 / 300, 0.4),
        (10, 0.0, 0.85 + 1 / 300, 0),
    ):
        optimizer.set_step(step, 10)
        muon = optimizer._muon
        assert (muon.lr, muon.momentum, muon.weight_decay) == pytest.approx((rate, momentum, decay))


def test_resuming_gives_the_same_bits(make_model: Make, set_gradients: Fill, tmp_path: Path) -> None:
    whole = make_model()
    _run(whole, build_optimizer(whole, SETTINGS), set_gradients, range(8))

    first = make_model()
    optimizer = build_optimizer(first, SETTINGS)
    _run(first, optimizer, set_gradients, range(4))
    save_file(optimizer.state_tensors(), tmp_path / "state.safetensors")
    second = make_model(seed=9)
    second.load_state_dict(first.state_dict())
    resumed = build_optimizer(second, SETTINGS)
    loaded = load_file(tmp_path / "state.safetensors")
    resumed.load_state_tensors(loaded)
    assert _equal(resumed.state_tensors(), loaded)
    _run(second, resumed, set_gradients, range(4, 8))
    assert _equal(_weights(second), _weights(whole))


def test_loaded_state_is_a_copy(make_model: Make, set_gradients: Fill) -> None:
    first, second = make_model(), make_model()
    one, two = build_optimizer(first, SETTINGS), build_optimizer(second, SETTINGS)
    _run(first, one, set_gradients, range(2))
    two.load_state_tensors(one.state_tensors())
    before = {name: tensor.clone() for name, tensor in one.state_tensors().items()}
    _run(second, two, set_gradients, range(2, 4))
    assert _equal(one.state_tensors(), before)


def test_state_is_named_by_parameter_with_full_shapes(make_model: Make, set_gradients: Fill) -> None:
    model = make_model()
    optimizer = build_optimizer(model, SETTINGS)
    _run(model, optimizer, set_gradients, range(1))
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    state = optimizer.state_tensors()
    assert {key.rsplit("/", 1)[0] for key in state} == shapes.keys()
    for key, tensor in state.items():
        name, kind = key.rsplit("/", 1)
        if kind in ("momentum", "exp_avg", "exp_avg_sq"):
            assert tensor.shape == shapes[name]


def test_state_before_the_first_step_loads(make_model: Make, set_gradients: Fill) -> None:
    fresh, model = make_model(), make_model()
    state = build_optimizer(fresh, SETTINGS).state_tensors()
    optimizer = build_optimizer(model, SETTINGS)
    _run(model, optimizer, set_gradients, range(2))
    model.load_state_dict(fresh.state_dict())
    optimizer.load_state_tensors(state)
    _run(model, optimizer, set_gradients, range(2))
    _run(fresh, build_optimizer(fresh, SETTINGS), set_gradients, range(2))
    assert _equal(_weights(model), _weights(fresh))


def test_new_parameters_start_empty(make_model: Make, set_gradients: Fill) -> None:
    small, large = make_model(n_layer=2), make_model(n_layer=2)
    optimizer = build_optimizer(small, SETTINGS)
    _run(small, optimizer, set_gradients, range(2))
    new = ("blocks.1.mlp.c_fc.weight", "wte.weight")
    state = {key: tensor for key, tensor in optimizer.state_tensors().items() if not key.startswith(new)}
    grown = build_optimizer(large, SETTINGS)
    _run(large, grown, set_gradients, range(5))
    grown.load_state_tensors(state)
    assert grown.state_tensors()["blocks.1.mlp.c_fc.weight/momentum"].abs().sum() == 0
    assert not any(key.startswith("wte.") for key in grown.state_tensors())
    assert torch.equal(grown.state_tensors()["lm_head.weight/exp_avg"], state["lm_head.weight/exp_avg"])
    _run(large, grown, set_gradients, range(2, 3))


@pytest.mark.parametrize(
    "fault, named",
    [
        ("unknown parameter", "unknown: blocks.7.mlp.c_fc.weight/momentum"),
        ("unknown state", "unknown: wte.weight/momentum"),
        ("no state name", "unknown: wte"),
        ("shape", r"x0_lambdas/exp_avg: needs \(3,\), the checkpoint has \(4,\)"),
        ("part", "missing: wte.weight/exp_avg_sq"),
    ],
)
def test_a_misfit_is_named_and_changes_nothing(fault: str, named: str, make_model: Make, set_gradients: Fill) -> None:
    model = make_model()
    optimizer = build_optimizer(model, SETTINGS)
    _run(model, optimizer, set_gradients, range(1))
    before = {key: tensor.clone() for key, tensor in optimizer.state_tensors().items()}
    state = {key: tensor + 1 for key, tensor in before.items()}
    if fault == "unknown parameter":
        state["blocks.7.mlp.c_fc.weight/momentum"] = torch.zeros(64, 16)
    elif fault == "unknown state":
        state["wte.weight/momentum"] = torch.zeros(64, 16)
    elif fault == "no state name":
        state["wte"] = torch.zeros(1)
    elif fault == "shape":
        state["x0_lambdas/exp_avg"] = torch.zeros(4)
    else:
        del state["wte.weight/exp_avg_sq"]
    with pytest.raises(CheckpointError) as caught:
        optimizer.load_state_tensors(state)
    assert caught.match(named)
    assert _equal(optimizer.state_tensors(), before)


def test_parameters_without_gradient_are_skipped(make_model: Make, set_gradients: Fill) -> None:
    model = make_model()
    optimizer = build_optimizer(model, SETTINGS)
    before = _weights(model)
    idle = {"x0_lambdas", "wte.weight", "blocks.1.attn.c_q.weight"}
    set_gradients(model, 0)
    for name, parameter in model.named_parameters():
        if name in idle:
            parameter.grad = None
    optimizer.set_step(0, 10)
    optimizer.step()
    still = {name for name, tensor in _weights(model).items() if torch.equal(tensor, before[name])}
    assert still == idle


def test_orthogonal_dtype_follows_the_model(make_model: Make, set_gradients: Fill) -> None:
    models = [make_model(n_layer=1) for _ in range(3)]
    models[1].compute_dtype = torch.bfloat16
    exact, coarse, asked = models
    for model, dtype in ((exact, None), (coarse, None), (asked, torch.bfloat16)):
        _run(model, build_optimizer(model, SETTINGS, orthogonal_dtype=dtype), set_gradients, range(2))
    assert _equal(_weights(coarse), _weights(asked))
    assert not _equal(_weights(coarse), _weights(exact))
