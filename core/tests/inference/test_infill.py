from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from nanoplug.errors import ConfigError
from nanoplug.inference.completion import complete_text
from nanoplug.inference.infill import infill_prompt

FIM = {"<FIM_PREFIX>": 255, "<FIM_SUFFIX>": 254, "<FIM_MIDDLE>": 253, "<EOS>": 252}


@pytest.fixture
def fim_tokenizer(tokenizer: Any) -> Any:
    """Four bytes that no text has are special."""
    tokenizer.special = {**tokenizer.special, **FIM}
    return tokenizer


def test_prompts_are_as_in_training(fim_tokenizer: Any, make_engine: Any) -> None:
    engine = make_engine()
    bos = fim_tokenizer.special["<|bos|>"]
    assert infill_prompt(engine, "ab", "c", max_tokens=4) == [bos, 255, *b"ab", 254, *b"c", 253]
    assert infill_prompt(engine, "ab", "c", max_tokens=4, spm=True) == [bos, 255, 254, *b"c", 253, *b"ab"]
    assert infill_prompt(engine, "", "", max_tokens=4) == [bos, 255, 254, 253]


def test_it_must_fit_into_a_row(fim_tokenizer: Any, make_engine: Any) -> None:
    engine = make_engine(sequence_len=16)
    assert len(infill_prompt(engine, "abcd", "ef", max_tokens=6)) == 10
    with pytest.raises(
        ConfigError, match="have 10 tokens; with 7 for the middle they do not fit into the model's rows of 16"
    ):
        infill_prompt(engine, "abcd", "ef", max_tokens=7)


def test_a_tokenizer_that_cannot(make_engine: Any) -> None:
    with pytest.raises(ConfigError, match="it has no <FIM_PREFIX>, <FIM_SUFFIX>, <FIM_MIDDLE>, <EOS>"):
        infill_prompt(make_engine(), "a", "b", max_tokens=1)


def test_the_end_ends_a_middle_and_no_special_token_is_shown(fim_tokenizer: Any, make_engine: Any) -> None:
    for end, expected in ((252, "xyz"), (0, "xyz\0more")):
        engine = make_engine()
        ids = iter([*b"x", 254, 255, 253, *b"yz", end, *b"more", 252])

        def forward(tokens_BT: Tensor, cache: Any, ids: Iterator[int] = ids) -> Tensor:
            cache.advance(tokens_BT.shape[1])
            return torch.nn.functional.one_hot(torch.tensor([next(ids)]), 258).float()

        engine._forward = forward
        assert complete_text(engine, [256, *b"ab"], temperature=0.0) == [expected]


def test_ids_are_taken_as_they_are() -> None:
    asked: list[Any] = []
    engine = SimpleNamespace(tokenizer=None, generate=lambda prompt, **_: asked.append(prompt) or iter(()))
    engine.tokenizer = SimpleNamespace(special={}, decode_bytes=bytes)
    assert complete_text(engine, [1, 2, 3], num_samples=1) == [""]  # type: ignore[arg-type]
    assert asked == [[1, 2, 3]]
