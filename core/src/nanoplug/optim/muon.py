"""Muon (Jordan 2024, https://kellerjordan.github.io/posts/muon/) with variance reduction and cautious weight decay.

Matrices of one shape are updated together as one stack (n, r, c), by one function that can be compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from attrs import frozen
from torch import Tensor, nn

from nanoplug.errors import ContractError
from nanoplug.optim.orthogonalize import POLAR_EXPRESS, Iteration, orthogonalize

_FLOOR = 1e-10


def muon_update(
    theta_nrc: Tensor,
    grad_nrc: Tensor,
    momentum_nrc: Tensor,
    variance: Tensor | None,
    lr: Tensor,
    mu: Tensor,
    weight_decay: Tensor,
    *,
    beta2: float,
    cautious: bool,
    iteration: Iteration,
    dtype: torch.dtype,
) -> None:
    """One step of a stack, in place on theta, momentum and variance.

    variance: (n, r, 1) if r >= c, else (n, 1, c), or None for no variance reduction (Li et al. 2025, NorMuon,
    arXiv:2510.05491). cautious: decay only where the update shrinks the weight (Chen et al. 2025,
    arXiv:2510.12402); otherwise decay all of it by lr * weight_decay. lr, mu, weight_decay: tensors without axes, so
    that a compiled step serves all their values.
    """
    rows, columns = theta_nrc.shape[-2:]
    momentum_nrc.lerp_(grad_nrc, 1 - mu)
    u_nrc = orthogonalize(grad_nrc.lerp(momentum_nrc, mu), iteration, dtype).to(theta_nrc.dtype)
    if variance is not None:
        u_nrc = _with_even_variance(u_nrc, variance, beta2)
    rate = lr * max(1.0, rows / columns) ** 0.5
    if cautious:
        decay_nrc = rate * weight_decay * (u_nrc * theta_nrc >= 0)
    else:
        decay_nrc = lr * weight_decay
    theta_nrc.sub_(rate * u_nrc + decay_nrc * theta_nrc)


def _with_even_variance(u_nrc: Tensor, variance: Tensor, beta2: float) -> Tensor:
    """Divide rows (or columns, of wide matrices) by their running root mean square; each matrix keeps its norm."""
    axis = -1 if variance.shape[-1] == 1 else -2
    variance.lerp_(u_nrc.square().mean(axis, keepdim=True), 1 - beta2)
    scaled_nrc = u_nrc * variance.clamp_min(_FLOOR).rsqrt()
    norm: Tensor = u_nrc.norm(dim=(-2, -1), keepdim=True)
    scaled_norm: Tensor = scaled_nrc.norm(dim=(-2, -1), keepdim=True)
    return scaled_nrc * (norm / scaled_norm.clamp_min(_FLOOR))


@frozen(eq=False)
class _Stack:
    """Parameters of one shape and their state, stacked in the same order."""

    names: tuple[str, ...]
    parameters: tuple[nn.Parameter, ...]
    momentum_nrc: Tensor
    variance: Tensor | None


class Muon:
    """Updates matrices by name. `lr`, `momentum` and `weight_decay` may be set between steps.

    variance_reduction, cautious: the two extras; with both off and `iteration=QUINTIC` a step is that of
    `torch.optim.Muon`. dtype: of the orthogonalisation. compile: applied once to the step, such as `Device.compile`.
    Raises ContractError for a parameter that is not a matrix.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        *,
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        beta2: float = 0.95,
        variance_reduction: bool = True,
        cautious: bool = True,
        iteration: Iteration = POLAR_EXPRESS,
        dtype: torch.dtype = torch.bfloat16,
        compile: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None,
    ) -> None:
        for name, parameter in parameters.items():
            if parameter.ndim != 2:
                raise ContractError(f"Muon: {name} has shape {tuple(parameter.shape)}; it updates matrices only.")
        self.lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay

        def update(theta: Tensor, grad: Tensor, momentum: Tensor, variance: Tensor | None, *scalars: Tensor) -> None:
            muon_update(
                theta,
                grad,
                momentum,
                variance,
                *scalars,
                beta2=beta2,
                cautious=cautious,
                iteration=iteration,
                dtype=dtype,
            )

        self._update = update if compile is None else compile(update)
        shapes = sorted({tuple(parameter.shape) for parameter in parameters.values()})
        self._stacks = [
            _stack({n: p for n, p in parameters.items() if tuple(p.shape) == shape}, variance_reduction)
            for shape in shapes
        ]

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient; the others and their state stay as they are."""
        for stack in self._stacks:
            present = [i for i, parameter in enumerate(stack.parameters) if parameter.grad is not None]
            if len(present) == len(stack.parameters):
                self._step(stack.parameters, stack.momentum_nrc, stack.variance)
            elif present:
                index = torch.tensor(present, device=stack.momentum_nrc.device)
                momentum_nrc = stack.momentum_nrc[index]
                variance = None if stack.variance is None else stack.variance[index]
                self._step(tuple(stack.parameters[i] for i in present), momentum_nrc, variance)
                stack.momentum_nrc[index] = momentum_nrc
                if stack.variance is not None and variance is not None:
                    stack.variance[index] = variance

    def _step(self, parameters: tuple[nn.Parameter, ...], momentum_nrc: Tensor, variance: Tensor | None) -> None:
        theta_nrc = torch.stack([parameter.detach() for parameter in parameters])
        grad_nrc = torch.stack([parameter.grad for parameter in parameters if parameter.grad is not None])
        scalars = [theta_nrc.new_full((), value) for value in (self.lr, self.momentum, self.weight_decay)]
        self._update(theta_nrc, grad_nrc, momentum_nrc, variance, *scalars)
        torch._foreach_copy_(list(parameters), list(theta_nrc.unbind()))

    def state_tensors(self) -> dict[str, Tensor]:
        """`<name>/momentum` (r, c) and `<name>/variance` (r, 1) or (1, c): views of the live state."""
        tensors = {}
        for stack in self._stacks:
            for i, name in enumerate(stack.names):
                tensors[f"{name}/momentum"] = stack.momentum_nrc[i]
                if stack.variance is not None:
                    tensors[f"{name}/variance"] = stack.variance[i]
        return tensors

    def state_shapes(self) -> dict[str, dict[str, torch.Size]]:
        """Names and shapes of the state of each parameter."""
        shapes: dict[str, dict[str, torch.Size]] = {}
        for key, tensor in self.state_tensors().items():
            name, state = key.rsplit("/", 1)
            shapes.setdefault(name, {})[state] = tensor.shape
        return shapes

    def load_state(self, states: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Replace all state by copies; parameters that are not named start empty. `states` must fit `state_shapes`."""
        for key, tensor in self.state_tensors().items():
            name, state = key.rsplit("/", 1)
            if name in states:
                tensor.copy_(states[name][state])
            else:
                tensor.zero_()


def _stack(parameters: Mapping[str, nn.Parameter], variance_reduction: bool) -> _Stack:
    first = next(iter(parameters.values()))
    rows, columns = first.shape
    count = len(parameters)
    reduced = (count, rows, 1) if rows >= columns else (count, 1, columns)
    return _Stack(
        names=tuple(parameters),
        parameters=tuple(parameters.values()),
        momentum_nrc=first.new_zeros((count, rows, columns)),
        variance=first.new_zeros(reduced) if variance_reduction else None,
    )
