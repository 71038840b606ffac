from __future__ import annotations

from typing import Any

import pytest
import torch

from nanoplug.model.flops import count_parameters, flops_per_token
from nanoplug.model.gpt import GPT, GPTConfig

DEPTH_20 = GPTConfig(
    n_layer=20, n_embd=1280, n_head=10, n_kv_head=10, vocab_size=65536, sequence_len=2048, window_pattern="SSSL"
)


def test_known_parameter_counts() -> None:
    assert count_parameters(GPTConfig()) == 162_201_624
    assert count_parameters(DEPTH_20) == 560_988_200


def test_known_operations() -> None:
    assert flops_per_token(DEPTH_20) == 3_255_828_480


def test_known_operations_from_the_formula() -> None:
    config = GPTConfig()
    counted = 162_201_624 - 50304 * 768 - 2 * 12
    assert flops_per_token(config) == 6 * counted + 12 * (12 * 6 * 128 * 1024)


@pytest.mark.parametrize(
    "config",
    [
        GPTConfig(),
        GPTConfig(n_kv_head=2, vocab_size=50257, n_layer=3),
        GPTConfig(vocab_size=50257, vocab_multiple=1, n_layer=1),
    ],
)
def test_count_is_that_of_the_model(config: GPTConfig, attention: Any, kernel: Any) -> None:
    with torch.device("meta"):
        model = GPT(config, attention=attention, kernel=kernel)
    assert sum(parameter.numel() for parameter in model.parameters()) == count_parameters(config)


def test_a_window_longer_than_the_row_costs_a_row() -> None:
    one = GPTConfig(sequence_len=1, n_layer=2, window_pattern="S")
    assert flops_per_token(one) == flops_per_token(GPTConfig(sequence_len=1, n_layer=2)) - 12 * 768


def test_padded_rows_are_counted() -> None:
    assert flops_per_token(GPTConfig(vocab_size=1)) == flops_per_token(GPTConfig(vocab_size=64))
