"""torch's AdamW over named groups, with its state by parameter name."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from nanoplug.optim.groups import Group

log = logging.getLogger(__name__)


class AdamW:
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) without weight decay, fused where torch can.

    `lr_factor` multiplies every group's learning rate and may be set between steps.
    """

    def __init__(self, groups: Sequence[Group], *, betas: tuple[float, float], eps: float = 1e-10) -> None:
        self._groups = groups
        self._parameters = {name: parameter for group in groups for name, parameter in group.parameters.items()}
        self.lr_factor = 1.0

        def build(*, fused: bool) -> torch.optim.AdamW:
            tables: list[dict[str, Any]] = [
                {"params": list(group.parameters.values()), "lr": group.lr} for group in groups
            ]
            return torch.optim.AdamW(tables, betas=betas, eps=eps, weight_decay=0.0, fused=fused)

        try:
            self._torch, self._fused = build(fused=True), True
        except RuntimeError as error:  # torch's word for a device that has no fused step
            log.info("AdamW is not fused here: %s", error)
            self._torch, self._fused = build(fused=False), False

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        for table, group in zip(self._torch.param_groups, self._groups, strict=True):
            table["lr"] = group.lr * self.lr_factor
        self._torch.step()

    def state_tensors(self) -> dict[str, Tensor]:
        """`<name>/step`, `<name>/exp_avg`, `<name>/exp_avg_sq` of each parameter that was ever updated."""
        return {
            f"{name}/{state}": tensor
            for name, parameter in self._parameters.items()
            for state, tensor in self._torch.state.get(parameter, {}).items()
        }

    def state_shapes(self) -> dict[str, dict[str, torch.Size]]:
        """Names and shapes of the state of each parameter, whether it is there yet or not."""
        return {
            name: {"step": torch.Size(), "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}
            for name, parameter in self._parameters.items()
        }

    def load_state(self, states: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Replace all state by copies; parameters that are not named start empty. `states` must fit `state_shapes`."""
        self._torch.state.clear()
        for name, state in states.items():
            parameter = self._parameters[name]
            moments = {
                key: torch.empty_like(parameter, requires_grad=False).copy_(state[key])
                for key in ("exp_avg", "exp_avg_sq")
            }
            step = state["step"].to(parameter.device if self._fused else "cpu", torch.float32, copy=True)
            self._torch.state[parameter] = {"step": step, **moments}
