from __future__ import annotations

from typing import Any

import pytest

from nanoplug.conformance.tokenizer_reference import ReferenceTokenizer
from nanoplug.data.fim_tokens import FimTokens
from nanoplug.errors import ConfigError

TOKENS = FimTokens(bos=10, prefix=11, suffix=12, middle=13, end=14)


def test_layouts() -> None:
    assert TOKENS.row([1], [2], [3], spm=False) == [10, 11, 1, 12, 3, 13, 2, 14]
    assert TOKENS.row([1], [2], [3], spm=True) == [10, 11, 12, 3, 13, 1, 2, 14]


@pytest.mark.parametrize("spm", [False, True])
def test_a_row_is_its_prompt_with_middle_and_end(spm: bool) -> None:
    row = TOKENS.row([1, 2], [3], [4, 5], spm=spm)
    assert row == [*TOKENS.prompt([1, 2], [4, 5], spm=spm), 3, TOKENS.end]
    assert len(row) == 5 + TOKENS.per_row


def test_ids_come_from_the_tokenizer(fim_tokenizer: Any) -> None:
    special = fim_tokenizer.special
    assert FimTokens.of(fim_tokenizer) == FimTokens(
        bos=special["<|bos|>"],
        prefix=special["<FIM_PREFIX>"],
        suffix=special["<FIM_SUFFIX>"],
        middle=special["<FIM_MIDDLE>"],
        end=special["<EOS>"],
    )
    other = ReferenceTokenizer()
    other.special = {"<|endoftext|>": 1, "<FIM_PREFIX>": 2, "<FIM_SUFFIX>": 3, "<FIM_MIDDLE>": 4, "<EOS>": 5}
    assert FimTokens.of(other) == FimTokens(1, 2, 3, 4, 5)


def test_names_that_are_missing_are_told() -> None:
    lacking = ReferenceTokenizer()
    lacking.special = {"<|bos|>": 1, "<FIM_PREFIX>": 2, "<EOS>": 3}
    with pytest.raises(ConfigError, match="it has no <FIM_SUFFIX>, <FIM_MIDDLE>") as caught:
        FimTokens.of(lacking)
    assert "Use a tokenizer with these special tokens" in str(caught.value)
