from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nanoplug.errors import ContractError
from nanoplug.model.gpt import GPT, GPTConfig
from nanoplug.model.naive_generate import generate_naive


class FixedLogits(GPT):
    """A model whose logits do not depend on its input."""

    fixed_V: Tensor

    def logits(self, tokens_BT: Tensor, *, cache: object = None, last_only: bool = False) -> Tensor:
        return self.fixed_V.expand(1, 1, -1)


@pytest.fixture
def fixed(small: GPTConfig, make_gpt: Callable[..., GPT]) -> FixedLogits:
    model = make_gpt(small)
    model.__class__ = FixedLogits
    assert isinstance(model, FixedLogits)
    model.fixed_V = torch.tensor([0.0, 3.0, 3.0, 3.0, 1.0])
    return model


def test_greedy_takes_the_best_of_a_whole_forward(small: GPTConfig, make_gpt: Callable[..., GPT]) -> None:
    model = make_gpt(small)
    ids = [3, 1, 4]
    given = list(generate_naive(model, ids, 20, temperature=0))
    for position in range(20):  # also beyond the training context of 16 tokens
        context = torch.tensor([ids + given[:position]])
        assert given[position] == int(model.logits(context)[0, -1].argmax())


def test_seed_decides(small: GPTConfig, make_gpt: Callable[..., GPT]) -> None:
    model = make_gpt(small)
    first, again, other = (list(generate_naive(model, [1], 16, seed=seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_top_k_keeps_ties_at_the_threshold(fixed: FixedLogits) -> None:
    assert set(generate_naive(fixed, [0], 60, top_k=2)) == {1, 2, 3}
    assert set(generate_naive(fixed, [0], 200, top_k=4)) == {1, 2, 3, 4}


def test_top_k_above_the_vocabulary_is_all(fixed: FixedLogits) -> None:
    assert list(generate_naive(fixed, [0], 20, top_k=99)) == list(generate_naive(fixed, [0], 20))


def test_temperature_sharpens(fixed: FixedLogits) -> None:
    assert 0 in set(generate_naive(fixed, [0], 60, temperature=100.0))
    assert not {0, 4} & set(generate_naive(fixed, [0], 60, temperature=0.05))


@pytest.mark.parametrize("arguments", [{"temperature": -1.0}, {"top_k": 0}, {"ids": []}])
def test_bad_arguments_are_refused_at_once(fixed: FixedLogits, arguments: dict[str, object]) -> None:
    with pytest.raises(ContractError):
        generate_naive(fixed, **{"ids": [1], "max_tokens": 4, **arguments})  # type: ignore[arg-type]
