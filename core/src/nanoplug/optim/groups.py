"""Which rule updates each parameter, and at what learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, Protocol

import torch
from attrs import frozen
from torch import nn

from nanoplug.errors import ContractError
from nanoplug.optim.settings import OptimSettings


class _Shape(Protocol):
    @property
    def n_layer(self) -> int: ...

    @property
    def n_embd(self) -> int: ...


class Model(Protocol):
    """What the optimizers need to know of a model."""

    compute_dtype: torch.dtype

    @property
    def config(self) -> _Shape: ...

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]: ...


@frozen
class Group:
    """Parameters by name that share a rule and a full learning rate."""

    name: str
    rule: Literal["adamw", "muon"]
    lr: float
    parameters: Mapping[str, nn.Parameter]


def parameter_groups(model: Model, settings: OptimSettings) -> list[Group]:
    """Matrices of the blocks for Muon, the rest for AdamW, with the learning rates of this width and batch.

    Every rate grows with the square root of the batch; those of embedding and output head fall with the square root
    of the width. Raises ContractError unless every parameter is in exactly one group.
    """
    batch = math.sqrt(settings.total_batch_tokens / 2**19)
    width = (model.config.n_embd / 768) ** -0.5
    kinds: list[tuple[str, str, Literal["adamw", "muon"], float]] = [
        ("output head", "lm_head.", "adamw", settings.unembedding_lr * width),
        ("embedding", "wte.", "adamw", settings.embedding_lr * width),
        ("residual scalars", "resid_lambdas", "adamw", settings.scalar_lr * 0.01),
        ("embedding scalars", "x0_lambdas", "adamw", settings.scalar_lr),
        ("matrices", "blocks.", "muon", settings.matrix_lr),
    ]
    named = list(model.named_parameters(remove_duplicate=False))
    groups = [
        Group(name, rule, lr * batch, {n: p for n, p in named if n.startswith(prefix)})
        for name, prefix, rule, lr in kinds
    ]
    check_groups(groups, named)
    return groups


def check_groups(groups: Iterable[Group], named: Iterable[tuple[str, nn.Parameter]]) -> None:
    """Raise ContractError, naming them, for parameters that are in no group or in more than one place."""
    places: dict[int, list[str]] = {}
    for group in groups:
        for name, parameter in group.parameters.items():
            places.setdefault(id(parameter), []).append(f"{name} ({group.name})")
    problems = [f"{name} is in no group" for name, parameter in named if id(parameter) not in places]
    problems += [f"one parameter is in several places: {', '.join(held)}" for held in places.values() if len(held) > 1]
    if problems:
        raise ContractError("every parameter must be in exactly one optimizer group.", details=problems)
