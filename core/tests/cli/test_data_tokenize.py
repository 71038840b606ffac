from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nanoplug.cli.main import cli
from nanoplug.conformance.tokenizer_reference import ReferenceTokenizer
from nanoplug.data.shards import Document, write_shard
from nanoplug.data.tokenizer_folder import save_tokenizer


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["data", *map(str, arguments)])


@pytest.fixture
def text_and_tokenizer(tmp_path: Path, words_family: str) -> tuple[Path, Path]:
    """Shards of text, and a tokenizer of the family that the kit's reference tokenizer is."""
    text, tokenizer = tmp_path / "text", tmp_path / "tokenizer"
    text.mkdir()
    for name, numbers in (("train_0", range(30)), ("val", range(30, 40))):
        write_shard(text / f"{name}.parquet", [Document("", f"int x{n};") for n in numbers], row_group_documents=7)
    reference = ReferenceTokenizer([b"int "])
    save_tokenizer(reference, tokenizer, plugin_id="words-family:words", distribution=words_family, version="1.0")
    return text, tokenizer


def test_tokenize_and_show(tmp_path: Path, text_and_tokenizer: tuple[Path, Path]) -> None:
    text, tokenizer = text_and_tokenizer
    out = tmp_path / "tokens"
    making = ("tokenize", "--data", text, "--tokenizer-dir", tokenizer, "--out", out, "--workers", 1)
    done = run(*making, "--json")
    assert done.exit_code == 0, done.output
    made = json.loads(done.stdout)
    assert (made["documents"], made["workers"], made["folder"]) == (40, 1, str(out))
    shown = json.loads(run("show", out, "--json").stdout)["shards"]
    of_text = json.loads(run("show", text, "--json").stdout)["shards"]
    for row, source in zip(shown, of_text, strict=True):
        assert [row[key] for key in ("use", "documents", "row_groups")] == [
            source[key] for key in ("use", "documents", "row_groups")
        ]
        # BOS, then `int `, x, one or two digits and a semicolon.
        assert 5 * row["documents"] <= row["tokens"] <= 6 * row["documents"]
    again = run(*making)
    assert again.exit_code == 1
    assert "is made already" in again.output
    printed = run(*making, "--force")
    assert printed.exit_code == 0
    assert "40 documents" in printed.stdout
    assert "by 1 process(es)" in printed.stdout
    assert "tokens" in run("show", out).stdout
    (out / "tokens.json").unlink()
    assert json.loads(run("show", out, "--json").stdout)["shards"][0]["documents"] is None
    assert "? documents" in run("show", out).stdout


def test_tokenize_what_cannot_be(tmp_path: Path, text_and_tokenizer: tuple[Path, Path]) -> None:
    text, tokenizer = text_and_tokenizer
    for data, tokens, said in ((tmp_path / "no", tokenizer, "no is not a folder"), (text, text, "no manifest.json")):
        done = run("tokenize", "--data", data, "--tokenizer-dir", tokens, "--out", tmp_path / "out", "--workers", 1)
        assert done.exit_code == 1
        assert said in done.output
        assert not (tmp_path / "out").exists()
