"""Held with the kit's reference tokenizer as the family that `auto` chooses."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nanoplug.cli.main import cli
from nanoplug.conformance.tokenizer_texts import cpp_source
from nanoplug.data.shards import Document, write_shard


def run(*arguments: object, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(cli, ["tokenizer", *map(str, arguments)], input=stdin)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for number, name in enumerate(("train_00000", "val")):
        write_shard(
            folder / f"{name}.parquet", [Document(f"{i}.h", cpp_source(number * 10 + i, 100)) for i in range(3)]
        )
    return folder


@pytest.fixture(scope="module")
def folder(words_family: str, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "tokenizer"
    done = run("train", "--data", data, "--vocab-size", 400, "--out", out, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["vocab_size"] == 400
    return out


def test_bytes_go_through_encode_and_decode(folder: Path) -> None:
    content = b"int main() {}\r\n\t\xff\x00 caf\xc3\xa9 <|bos|>" + random.Random(0).randbytes(50)
    ids = run("encode", folder, stdin=content)
    assert ids.exit_code == 0
    assert max(map(int, ids.stdout.split())) < 391
    assert run("decode", folder, stdin=ids.stdout_bytes).stdout_bytes == content
    assert run("decode", folder, *ids.stdout.split()).stdout_bytes == content
    words = json.loads(run("encode", folder, "int x;", "--json").stdout)
    assert "".join(word["text"] for word in words) == "int x;"


def test_inspect(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.h").write_text("int x;\n" * 10)
    found = json.loads(run("inspect", folder, tmp_path / "a.h", "--text", "int", "--json").stdout)
    assert found["vocab_size"] == 400
    assert found["special"]["<|bos|>"] == 391
    assert [(row["bytes"], row["lossless"]) for row in found["samples"]] == [(3, True), (70, True)]
    assert all(row["bytes_per_token"] == row["bytes"] / row["tokens"] for row in found["samples"])
    text = run("inspect", folder, tmp_path / "a.h").stdout
    assert found["fingerprint"] in text
    assert "bytes a token  70 bytes" in text


def test_training_again_needs_force(folder: Path, data: Path) -> None:
    again = ("train", "--data", data, "--vocab-size", 400, "--out", folder)
    refused = run(*again)
    assert refused.exit_code == 1
    assert "--force" in refused.output
    done = run(*again, "--force")
    assert done.exit_code == 0
    assert "400 ids from 3 documents" in done.stdout


def test_the_validation_shard_is_not_trained_on(folder: Path, data: Path, tmp_path: Path) -> None:
    write_shard(tmp_path / "train_00000.parquet", [Document(f"{i}.h", cpp_source(i, 100)) for i in range(3)])
    write_shard(tmp_path / "val.parquet", [Document("other.h", cpp_source(99, 500))])
    out = tmp_path / "tokenizer"
    trained = json.loads(run("train", "--data", tmp_path, "--vocab-size", 400, "--out", out, "--json").stdout)
    assert trained["fingerprint"] == json.loads(run("inspect", folder, "--json").stdout)["fingerprint"]


def test_help_names_every_command() -> None:
    shown = run("--help").stdout
    for name in ("train", "import", "encode", "decode", "inspect", "show-conversation", "verify"):
        assert name in shown


def test_what_goes_wrong(folder: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for arguments, message in (
        (("train", "--data", tmp_path, "--vocab-size", 400, "--out", out), "at least two are"),
        (("train", "--data", data, "--vocab-size", 10, "--out", out), "vocab_size is 10"),
        (("train", "--data", data, "--vocab-size", 10**6, "--out", out), "are needed"),
        (("train", "--data", data, "--vocab-size", 400, "--out", out, "--tokenizer", "nosuch"), "nosuch"),
        (("train", "--data", data, "--vocab-size", 400, "--out", out, "--option", "nosuch=1"), "nosuch"),
        (("train", "--data", data, "--vocab-size", 400, "--out", out, "--option", "nosuch"), "KEY=VALUE"),
        (("encode", tmp_path, "x"), "manifest.json"),
        (("decode", folder, "1000"), "1000"),
        (("decode", folder, "one"), "whole numbers"),
        (("inspect", folder, tmp_path / "missing.h"), "cannot be read"),
    ):
        done = run(*arguments)
        assert done.exit_code == 1, (arguments, done.output)
        assert message in done.output
        assert not out.exists()
