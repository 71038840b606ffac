"""Setting a model's parameters from a checkpoint's tensors."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import torch
from torch import Tensor

from nanoplug.errors import CheckpointError
from nanoplug.model.gpt import GPT

log = logging.getLogger(__name__)

# Models saved before these existed behave as if they had these values.
_OLD_VALUES = {"resid_lambdas": 1.0, "x0_lambdas": 0.0}


@torch.no_grad()
def load_weights(model: GPT, tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors into the parameters of the same names, cast to each parameter's dtype and device.

    `resid_lambdas` and `x0_lambdas` may be missing and become ones and zeros, with a log line. Anything else that
    is missing, unknown, or of another shape raises CheckpointError, before any parameter changes.
    """
    parameters = dict(model.named_parameters())
    missing = sorted(set(parameters) - set(tensors) - set(_OLD_VALUES))
    unknown = sorted(set(tensors) - set(parameters))
    reshaped = [
        f"{name}: the model has {tuple(parameters[name].shape)}, the checkpoint {tuple(tensor.shape)}"
        for name, tensor in tensors.items()
        if name in parameters and parameters[name].shape != tensor.shape
    ]
    if missing or unknown or reshaped:
        raise CheckpointError(
            "the checkpoint's tensors do not fit the model.",
            details=[*(f"missing: {name}" for name in missing), *(f"unknown: {name}" for name in unknown), *reshaped],
            todo="Build the model from the checkpoint's own configuration.",
        )
    for name, parameter in parameters.items():
        if name in tensors:
            parameter.copy_(tensors[name])
        else:
            log.warning("checkpoint lacks %s; it is set to %s everywhere", name, _OLD_VALUES[name])
            parameter.fill_(_OLD_VALUES[name])
