"""The one optimizer that the training loop sees: Muon and AdamW with their schedules and state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nanoplug.errors import CheckpointError, nearest
from nanoplug.optim.adamw import AdamW
from nanoplug.optim.groups import Model, parameter_groups
from nanoplug.optim.muon import Muon
from nanoplug.optim.schedules import lr_factor, muon_momentum, weight_decay_factor
from nanoplug.optim.settings import OptimSettings


def build_optimizer(
    model: Model,
    settings: OptimSettings,
    *,
    compile: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None,
    orthogonal_dtype: torch.dtype | None = None,
) -> Optimizers:
    """Optimizers for every parameter of a model whose parameters are on their device, not on meta.

    compile: `Device.compile` for a compiled Muon step, or None. orthogonal_dtype: of Muon's matrix products; the
    model's compute dtype by default. Raises ContractError for a parameter that fits no rule.
    """
    groups = parameter_groups(model, settings)
    adamw = AdamW(
        [group for group in groups if group.rule == "adamw"], betas=(settings.adam_beta1, settings.adam_beta2)
    )
    (matrices,) = (group for group in groups if group.rule == "muon")
    muon = Muon(
        matrices.parameters,
        lr=matrices.lr,
        dtype=model.compute_dtype if orthogonal_dtype is None else orthogonal_dtype,
        compile=compile,
    )
    parameters = [parameter for group in groups for parameter in group.parameters.values()]
    return Optimizers(muon, adamw, parameters, settings, n_layer=model.config.n_layer)


class Optimizers:
    """Call in each step: `set_step`, then `step` on gradients that are already averaged over ranks, then `zero_grad`.

    lr_factor: what the last `set_step` multiplied the full learning rates by. parameters: all that it updates.
    """

    def __init__(
        self, muon: Muon, adamw: AdamW, parameters: Iterable[nn.Parameter], settings: OptimSettings, *, n_layer: int
    ) -> None:
        self.lr_factor = 1.0
        self._muon = muon
        self._adamw = adamw
        self.parameters = list(parameters)
        self._settings = settings
        self._full_muon_lr = muon.lr
        self._full_weight_decay = settings.weight_decay * (12 / n_layer) ** 2

    def set_step(self, step: int, total_steps: int) -> None:
        """Set learning rates, momentum and weight decay for step `step`, counted from 0, of `total_steps`."""
        settings = self._settings
        self.lr_factor = lr_factor(
            step,
            total_steps,
            warmup_ratio=settings.warmup_ratio,
            warmdown_ratio=settings.warmdown_ratio,
            final_lr_frac=settings.final_lr_frac,
        )
        self._adamw.lr_factor = self.lr_factor
        self._muon.lr = self._full_muon_lr * self.lr_factor
        self._muon.momentum = muon_momentum(step)
        self._muon.weight_decay = self._full_weight_decay * weight_decay_factor(step, total_steps)

    def step(self) -> None:
        """Update every parameter that has a gradient; the others and their state stay as they are."""
        self._adamw.step()
        self._muon.step()

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def state_tensors(self) -> dict[str, Tensor]:
        """All state, `<parameter>/<state>`, in full shapes: live tensors, to be copied before the next step."""
        return {**self._adamw.state_tensors(), **self._muon.state_tensors()}

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what `state_tensors` gave; parameters without any state there start empty.

        Raises CheckpointError, before anything changes, for names that are unknown, shapes that differ, or a
        parameter with a part of its state.
        """
        shapes = {**self._adamw.state_shapes(), **self._muon.state_shapes()}
        states: dict[str, dict[str, Tensor]] = {}
        problems = []
        for key, tensor in tensors.items():
            name, _, state = key.rpartition("/")
            if state not in shapes.get(name, {}):
                known = [f"{n}/{s}" for n, parts in shapes.items() for s in parts]
                problems.append(f"unknown: {key}{nearest(key, known)}")
            elif tensor.shape != shapes[name][state]:
                problems.append(f"{key}: needs {tuple(shapes[name][state])}, the checkpoint has {tuple(tensor.shape)}")
            else:
                states.setdefault(name, {})[state] = tensor
        for name in states:
            problems += [f"missing: {name}/{state}" for state in shapes[name] if f"{name}/{state}" not in tensors]
        if problems:
            raise CheckpointError(
                "the checkpoint's optimizer state does not fit the model.",
                details=problems,
                todo="Use the checkpoint with the model configuration that it was saved with.",
            )
        self._adamw.load_state({name: parts for name, parts in states.items() if name in self._adamw.state_shapes()})
        self._muon.load_state({name: parts for name, parts in states.items() if name in self._muon.state_shapes()})
