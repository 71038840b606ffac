from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from nanoplug.errors import ContractError
from nanoplug.model.gpt import GPT
from nanoplug.optim.groups import Group, check_groups, parameter_groups
from nanoplug.optim.settings import OptimSettings

Make = Callable[..., GPT]


def _rates(model: GPT, settings: OptimSettings) -> dict[str, float]:
    return {name: group.lr for group in parameter_groups(model, settings) for name in group.parameters}


def test_each_parameter_has_its_rule(make_model: Make) -> None:
    model = make_model()
    rules = {name: group.rule for group in parameter_groups(model, OptimSettings()) for name in group.parameters}
    assert rules.keys() == dict(model.named_parameters()).keys()
    for name, rule in rules.items():
        assert rule == ("muon" if name.startswith("blocks.") else "adamw")


def test_rates_at_the_base_width_and_batch(make_model: Make) -> None:
    rates = _rates(make_model(n_embd=768, n_layer=1), OptimSettings())
    assert rates["lm_head.weight"] == pytest.approx(0.004)
    assert rates["wte.weight"] == pytest.approx(0.3)
    assert rates["resid_lambdas"] == pytest.approx(0.005)
    assert rates["x0_lambdas"] == pytest.approx(0.5)
    assert rates["blocks.0.mlp.c_fc.weight"] == pytest.approx(0.02)


def test_rates_scale_with_width_and_batch(make_model: Make) -> None:
    rates = _rates(make_model(n_embd=192, n_layer=1), OptimSettings(total_batch_tokens=2**21))
    assert rates["lm_head.weight"] == pytest.approx(0.004 * 2 * 2)
    assert rates["wte.weight"] == pytest.approx(0.3 * 2 * 2)
    assert rates["resid_lambdas"] == pytest.approx(0.005 * 2)
    assert rates["x0_lambdas"] == pytest.approx(0.5 * 2)
    assert rates["blocks.0.attn.c_q.weight"] == pytest.approx(0.02 * 2)


def test_a_parameter_in_no_group_is_named(make_model: Make) -> None:
    model = make_model()
    model.register_parameter("gate", nn.Parameter(torch.zeros(3)))
    with pytest.raises(ContractError) as caught:
        parameter_groups(model, OptimSettings())
    assert caught.match("gate is in no group")


def test_a_shared_parameter_is_found_by_identity(make_model: Make) -> None:
    model = make_model()
    model.lm_head.weight = model.wte.weight
    with pytest.raises(ContractError) as caught:
        parameter_groups(model, OptimSettings())
    assert caught.match(r"lm_head.weight \(output head\), wte.weight \(embedding\)")


def test_a_count_that_happens_to_fit_is_not_enough() -> None:
    a, b = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    twice = [Group("one", "adamw", 1.0, {"a": a}), Group("two", "adamw", 1.0, {"a": a})]
    with pytest.raises(ContractError) as caught:
        check_groups(twice, [("a", a), ("b", b)])
    assert caught.match("b is in no group")
    assert caught.match("several places")
