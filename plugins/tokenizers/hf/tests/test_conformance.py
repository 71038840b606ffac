"""The shipped laws: those of families that train are not asked of this one, so each imported tokenizer is held to the
laws of trained ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from nanoplug_tokenizer_hf.factory import HfFactory

from nanoplug.conformance import TokenizerLaws
from nanoplug.conformance.trained_tokenizer import TrainedTokenizer


class TestHf(TokenizerLaws):
    backend = "hf"


@pytest.mark.parametrize(
    ("family", "exact"),
    [
        ("byte_level", False),
        ("byte_level", True),
        ("prefixed", True),
        ("composed", True),
        ("byte_fallback", True),
        ("byte_unigram", True),
    ],
)
def test_an_exact_tokenizer_keeps_every_law(made: Callable[..., Path], family: str, exact: bool) -> None:
    tokenizer = HfFactory(exact=exact).load(made(family))
    findings = TrainedTokenizer(tokenizer, HfFactory().load).findings([], random=1500)
    assert [finding for finding in findings if not finding.ok] == []


@pytest.mark.parametrize("family", ["prefixed", "composed", "byte_fallback", "byte_unigram", "word_piece", "unigram"])
def test_what_is_lost_is_found_and_all_else_holds(made: Callable[..., Path], family: str) -> None:
    tokenizer = HfFactory().load(made(family))
    findings = TrainedTokenizer(tokenizer, HfFactory().load).findings([], random=600)
    assert {finding.law for finding in findings if not finding.ok} == {
        "round trip: texts of the kit",
        "round trip: random strings",
        "bytes add up",
    }
