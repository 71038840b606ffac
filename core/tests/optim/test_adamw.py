from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from torch import nn

from nanoplug.optim.adamw import AdamW
from nanoplug.optim.groups import Group


def _optimizer() -> tuple[AdamW, nn.Parameter, nn.Parameter]:
    a, b = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2, 2))
    return AdamW([Group("a", "adamw", 0.1, {"a": a}), Group("b", "adamw", 0.01, {"b": b})], betas=(0.8, 0.95)), a, b


def test_each_group_has_its_rate_times_the_factor() -> None:
    optimizer, a, b = _optimizer()
    for parameter in (a, b):
        parameter.grad = torch.ones_like(parameter)
    optimizer.lr_factor = 0.5
    optimizer.step()
    torch.testing.assert_close(a.detach(), torch.full((3,), 1 - 0.05))
    torch.testing.assert_close(b.detach(), torch.full((2, 2), 1 - 0.005))


def test_weights_are_not_decayed() -> None:
    optimizer, a, _ = _optimizer()
    a.grad = torch.zeros_like(a)
    optimizer.step()
    assert torch.equal(a.detach(), torch.ones(3))
    assert set(optimizer.state_tensors()) == {"a/step", "a/exp_avg", "a/exp_avg_sq"}


def test_a_device_without_a_fused_step_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    built = torch.optim.AdamW

    def refusing(*args: Any, fused: bool, **kwargs: Any) -> torch.optim.AdamW:
        if fused:
            raise RuntimeError("no fused step on this device")
        return built(*args, fused=False, **kwargs)

    monkeypatch.setattr(torch.optim, "AdamW", refusing)
    with caplog.at_level(logging.INFO):
        optimizer, a, b = _optimizer()
    assert "no fused step on this device" in caplog.text
    other, c, d = _optimizer()
    for parameter in (a, b, c, d):
        parameter.grad = torch.ones_like(parameter)
    for _ in range(2):
        optimizer.step()
        state = optimizer.state_tensors()
        other.load_state({n: {k: state[f"{n}/{k}"] for k in ("step", "exp_avg", "exp_avg_sq")} for n in ("a", "b")})
    assert torch.equal(other.state_tensors()["a/step"], torch.tensor(2.0))
    optimizer.step()
    other.step()
    assert torch.equal(other.state_tensors()["b/exp_avg_sq"], optimizer.state_tensors()["b/exp_avg_sq"])
