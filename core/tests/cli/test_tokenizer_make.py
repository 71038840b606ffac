"""Making a tokenizer folder from files that are there; held with the kit's reference tokenizer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nanoplug.cli.main import cli
from nanoplug.conformance.tokenizer_reference import ReferenceFactory
from nanoplug.conformance.tokenizer_texts import cpp_source
from nanoplug.conformance.tokenizer_wrong import FoldsLineEnds
from nanoplug.data.shards import Document, write_shard


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["tokenizer", *map(str, arguments)])


@pytest.fixture(scope="module")
def folder(words_family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("made")
    for number, name in enumerate(("train_00000", "val")):
        write_shard(base / f"{name}.parquet", [Document(f"{i}.h", cpp_source(number * 10 + i, 100)) for i in range(3)])
    done = run("train", "--data", base, "--vocab-size", 400, "--out", base / "tokenizer")
    assert done.exit_code == 0, done.output
    return base / "tokenizer"


@pytest.mark.parametrize("choice", ["auto", "words"])
def test_files_of_somebody_else(folder: Path, tmp_path: Path, choice: str) -> None:
    inspected = json.loads(run("inspect", folder, "--json").stdout)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "words.json").write_bytes((folder / "words.json").read_bytes())
    arguments = ("import", tmp_path / "files", "--out", tmp_path / "out", "--tokenizer", choice)
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["fingerprint"], found["plugin"]) == (inspected["fingerprint"], "words-family:words")
    again = run(*arguments)
    assert again.exit_code == 1
    assert "--force" in again.output
    forced = run(*arguments, "--force").stdout.splitlines()
    assert forced[0].startswith("tokenizer        words")
    assert forced[1].startswith(f"400 ids from {tmp_path / 'files'}, fingerprint")
    assert forced[2:] == [f"written to {tmp_path / 'out'}"]


def test_what_is_lost_is_said(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReferenceFactory, "load", lambda *_: FoldsLineEnds())
    done = run("import", folder, "--out", tmp_path / "out", "--tokenizer", "words", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["vocab_size"] == 265
    assert "does not hold: round trip: texts of the kit: CRLF: byte 12" in done.stderr


def test_what_cannot_be_imported(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("int")
    out = tmp_path / "out"
    for arguments, says in (
        ((tmp_path / "gone",), "is not there"),
        ((tmp_path / "words.txt",), "opens words.txt"),
        ((tmp_path,), f"opens any of the files in {tmp_path}"),
        ((folder, "--tokenizer", "nosuch"), "nosuch"),
        ((folder, "--option", "x"), "KEY=VALUE"),
    ):
        done = run("import", *arguments, "--out", out)
        assert done.exit_code == 1, (arguments, done.output)
        assert says in done.output
        assert not out.exists()
