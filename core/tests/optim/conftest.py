"""A small model whose gradients are set by hand: the optimizers' tests need no forward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from nanoplug.model.gpt import GPT, GPTConfig


@pytest.fixture
def make_model() -> Callable[..., GPT]:
    def make(*, seed: int = 1, **config: Any) -> GPT:
        sizes = {"vocab_size": 60, "sequence_len": 8, "n_layer": 3, "n_head": 2, "n_kv_head": 1, "n_embd": 16}
        backend: Any = None
        model = GPT(GPTConfig(**{**sizes, **config}), attention=backend, kernel=backend)
        model.init_weights(seed)
        return model

    return make


@pytest.fixture
def set_gradients() -> Callable[[GPT, int], None]:
    """Random gradients for every parameter; the same number gives the same ones."""

    def fill(model: GPT, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)

    return fill
