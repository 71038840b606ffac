from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanoplug.cli.build_rendering import build_rendering
from nanoplug.config import load_config
from nanoplug.conformance.tokenizer_reference import ReferenceTokenizer
from nanoplug.data.fim import FimRendering
from nanoplug.data.fim_pairs import read_pairs
from nanoplug.data.rendering import DocumentKey, PlainRendering, Rendering
from nanoplug.errors import ConfigError, DataError


@pytest.fixture
def tokenizer() -> ReferenceTokenizer:
    made = ReferenceTokenizer()
    names = ("<FIM_PREFIX>", "<FIM_MIDDLE>", "<FIM_SUFFIX>", "<EOS>")
    made.special = {**made.special, **{name: made.vocab_size + i for i, name in enumerate(names)}}
    return made


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"docstring": "a", "signature": "int f()", "body": "x;"}\n', "utf-8")
    return path


def built(tokenizer: Any, **keys: Any) -> Rendering:
    return build_rendering(load_config({}, keys).config, tokenizer)


def test_without_rates_documents_are_plain_whatever_the_tokenizer() -> None:
    assert isinstance(built(ReferenceTokenizer(), fim_spm_rate=0.3, fim_pairs="nowhere"), PlainRendering)


def test_every_key_counts(tokenizer: Any, pairs: Path) -> None:
    keys: dict[str, Any] = {
        "fim_rate": 0.4,
        "fim_spm_rate": 0.25,
        "fim_function_rate": 0.75,
        "fim_structured_rate": 0.1,
        "fim_pairs": str(pairs),
        "seed": 7,
    }
    got = built(tokenizer, **keys)
    expected = FimRendering(
        tokenizer,
        fim_rate=0.4,
        spm_rate=0.25,
        function_rate=0.75,
        structured_rate=0.1,
        pairs=read_pairs(pairs),
        seed=7,
    )
    assert got.identity == expected.identity
    texts, documents = ["int f() { return 1; }"] * 30, [DocumentKey(0, 0, row) for row in range(30)]
    rows = [one.render(texts, documents, row_tokens=None, threads=1) for one in (got, expected)]
    assert all(np.array_equal(a, b) for (a,), (b,) in zip(*rows, strict=True))


def test_what_stops_a_run_before_it_starts(tokenizer: Any, tmp_path: Path) -> None:
    for rates in ({"fim_rate": 0.1}, {"fim_structured_rate": 0.1, "fim_pairs": "p"}):
        with pytest.raises((ConfigError, DataError)):
            built(ReferenceTokenizer(), **rates)
    with pytest.raises(ConfigError, match="it has no <FIM_PREFIX>"):
        built(ReferenceTokenizer(), fim_rate=0.1)
    with pytest.raises(DataError, match=r"missing\.jsonl cannot be read"):
        built(tokenizer, fim_structured_rate=0.1, fim_pairs=str(tmp_path / "missing.jsonl"))
