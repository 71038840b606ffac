from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nanoplug.errors import CheckpointError
from nanoplug.model.gpt import GPT, GPTConfig
from nanoplug.model.weights import load_weights


def _tensors(model: GPT) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def test_round_trip(small: GPTConfig, make_gpt: Callable[..., GPT]) -> None:
    source, target = make_gpt(small, seed=1), make_gpt(small, seed=2)
    load_weights(target, _tensors(source))
    assert all(torch.equal(value, _tensors(target)[name]) for name, value in _tensors(source).items())


def test_state_dict_holds_parameters_only(small: GPTConfig, make_gpt: Callable[..., GPT]) -> None:
    model = make_gpt(small)
    assert set(model.state_dict()) == {name for name, _ in model.named_parameters()}


def test_old_checkpoints_lack_the_scalars(
    small: GPTConfig, make_gpt: Callable[..., GPT], caplog: pytest.LogCaptureFixture
) -> None:
    model = make_gpt(small)
    tensors = {name: value for name, value in _tensors(model).items() if "lambdas" not in name}
    with caplog.at_level(logging.WARNING):
        load_weights(model, tensors)
    assert torch.equal(model.resid_lambdas, torch.ones(small.n_layer))
    assert torch.equal(model.x0_lambdas, torch.zeros(small.n_layer))
    assert len(caplog.records) == 2


@pytest.mark.parametrize("fault", ["missing", "unknown", "shape"])
def test_a_misfit_is_named_and_changes_nothing(fault: str, small: GPTConfig, make_gpt: Callable[..., GPT]) -> None:
    model = make_gpt(small)
    before = _tensors(model)
    tensors = {name: value + 1 for name, value in before.items()}
    if fault == "missing":
        del tensors["blocks.1.mlp.c_fc.weight"]
        named = "missing: blocks.1.mlp.c_fc.weight"
    elif fault == "unknown":
        tensors["blocks.9.mlp.c_fc.weight"] = torch.zeros(1)
        named = "unknown: blocks.9.mlp.c_fc.weight"
    else:
        tensors["wte.weight"] = torch.zeros(3, 32)
        named = r"wte.weight: the model has \(64, 32\), the checkpoint \(3, 32\)"
    with pytest.raises(CheckpointError) as caught:
        load_weights(model, tensors)
    assert caught.match(named)
    assert all(torch.equal(value, _tensors(model)[name]) for name, value in before.items())
