"""Runs that learn to fill in the middle, with a tokenizer that a stranger might bring."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nanoplug.training.checkpoint import Checkpoints

FACTORY = """
from nanoplug.conformance.tokenizer_reference import ReferenceFactory, ReferenceTokenizer

NAMES = ("<EOS>", "<FIM_SUFFIX>", "<FIM_MIDDLE>", "<FIM_PREFIX>")

class FimTokenizer(ReferenceTokenizer):
    def __init__(self, words=()):
        super().__init__(words)
        self.special = {**self.special, **{name: self.vocab_size + i for i, name in enumerate(NAMES)}}
        self.vocab_size += len(NAMES)
        self.bytes_per_token = (*self.bytes_per_token, 0, 0, 0, 0)

class Factory(ReferenceFactory):
    def __init__(self):
        super().__init__(FimTokenizer)
"""
MANIFEST = """
from nanoplug.spec import TokenizerSpec, hookimpl

@hookimpl
def nanoplug_tokenizer():
    return [TokenizerSpec(name="filler", summary="fills in", load="filler.factory:Factory", fim=True, trainable=True)]
"""
PAIRS = '{"docstring": "Adds.", "signature": "int add(int a)", "body": "a;"}\n{"docstring": "*/"}\n'
Train = Callable[..., Any]


@pytest.fixture
def fim_tokenizer(plugin_folder: Any, data: Path, tmp_path: Path, run_here: Any) -> Path:
    plugin_folder.add(
        "filler", {"manifest": MANIFEST, "factory": FACTORY}, entry_points="[nanoplug.plugins]\nf = filler.manifest\n"
    )
    folder = tmp_path / "tokenizer"
    made = run_here(
        *("tokenizer", "train", "--data", str(data), "--out", str(folder)),
        *("--vocab-size", "280", "--tokenizer", "filler"),
    )
    assert made.exit_code == 0, made.output
    return folder


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    path.write_text(PAIRS, encoding="utf-8")
    return path


def test_a_run_fills_in_goes_on_exactly_and_refuses_other_rates(
    train: Train, run_here: Any, fim_tokenizer: Path, pairs: Path, tmp_path: Path
) -> None:
    rates = {"fim_rate": 0.5, "fim_function_rate": 0.2, "fim_structured_rate": 0.25, "fim_pairs": pairs}
    settings: dict[str, Any] = {"tokenizer_dir": fim_tokenizer, "sequence_len": 48, **rates, "total_batch_size": 96}
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    done = train(whole, **settings)
    assert done.exit_code == 0, done.output
    said = "50 % of the training documents split to fill in (50 % suffix first, 20 % at a brace block), 25 % replaced"
    assert said in done.stdout
    assert "(1 left out: '*/' in the docstring)" in done.stdout
    assert said in (whole / "report.md").read_text(encoding="utf-8")

    # In other processes, and stopped in between: the same weights in the end.
    settings |= {"save_every": 6, "tokenizer_workers": 1}
    assert train(cut, **settings).exit_code == 0
    last = Checkpoints(cut / "checkpoints").steps()[-1]
    (cut / "summary.json").unlink()
    shutil.rmtree(cut / "checkpoints" / f"step_{last:06d}")
    refused = train(cut, **{**settings, "fim_rate": 0.4})
    assert refused.exit_code == 1
    assert "data.fim_rate 0.5 -> 0.4" in refused.output
    refused = train(cut, **{**settings, "fim_rate": 0.4}, accept_changes=True)
    assert refused.exit_code == 1
    assert "rendering" in refused.output
    assert train(cut, **settings).exit_code == 0
    model = f"checkpoints/step_{last:06d}/model.safetensors"
    assert (cut / model).read_bytes() == (whole / model).read_bytes()

    given = ("generate", "--run", str(whole), "--max-tokens", "6", "--temperature", "0")
    texts = ("--prefix", "int f() {", "--suffix", "}\n")
    filled = run_here(*given, *texts, "--json")
    assert filled.exit_code == 0, filled.output
    made = json.loads(filled.stdout)
    assert (made["prefix"], made["suffix"], len(made["middles"])) == ("int f() {", "}\n", 1)
    assert run_here(*given, *texts).stdout == f"int f() {{{made['middles'][0]}}}\n\n"
    assert "trained without" not in filled.stderr
    refused = run_here(*given[:-4], "--max-tokens", "46", *texts)
    assert refused.exit_code == 1
    assert "do not fit into the model's rows of 48" in refused.stderr


def test_what_a_run_needs_to_fill_in(train: Train, fim_tokenizer: Path, tokenizer: Path, tmp_path: Path) -> None:
    refused = train(tmp_path / "a", fim_rate=0.5)
    assert refused.exit_code == 1
    assert "the tokenizer cannot fill in the middle: it has no <FIM_PREFIX>" in refused.stderr
    missing = {"fim_structured_rate": 0.5, "fim_pairs": tmp_path / "missing.jsonl"}
    refused = train(tmp_path / "b", tokenizer_dir=fim_tokenizer, **missing)
    assert refused.exit_code == 1
    assert f"the docstring pairs {tmp_path / 'missing.jsonl'} cannot be read" in refused.stderr
    assert not (tmp_path / "a" / "config.toml").exists()
