"""From a folder that somebody downloaded to one that nanoplug trains with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner, Result

from nanoplug.cli.main import cli
from nanoplug.data.tokenizer_folder import read_manifest

Made = Callable[..., Path]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["tokenizer", *map(str, arguments)])


def test_a_folder_and_a_file_are_imported_alike(made: Made, tmp_path: Path) -> None:
    folder = made("byte_level", "<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>")
    imported = run("import", folder, "--out", tmp_path / "a")
    assert imported.exit_code == 0, imported.output
    assert "hf" in imported.stdout.splitlines()[0]
    assert run("import", folder / "tokenizer.json", "--out", tmp_path / "b").exit_code == 0
    one, other = read_manifest(tmp_path / "a"), read_manifest(tmp_path / "b")
    assert one == other
    assert one.plugin_id == "nanoplug-tokenizer-hf:hf"
    shown = json.loads(run("inspect", tmp_path / "a", "--text", "int x;", "--json").stdout)
    assert shown["special"]["<FIM_MIDDLE>"] == shown["special"]["<fim_middle>"] == 2
    assert shown["samples"][0]["lossless"]
    verified = run("verify", tmp_path / "a", folder, "--random", 200)
    assert verified.exit_code == 0, verified.output


def test_what_is_lost_is_told_and_exact_mends_it(made: Made, tmp_path: Path) -> None:
    folder = made("composed", "<|endoftext|>")
    imported = run("import", folder, "--out", tmp_path / "a")
    assert imported.exit_code == 0
    assert "does not hold: round trip: texts of the kit: combining: byte" in imported.stdout
    assert "does not hold: bytes add up: hf: the bytes of a token cannot be counted" in imported.stdout
    verified = run("verify", tmp_path / "a", "--random", 200)
    assert verified.exit_code == 1
    assert "BROKEN  bytes add up" in verified.stdout
    exact = run("import", folder, "--out", tmp_path / "b", "--option", "exact=true")
    assert exact.exit_code == 0
    assert "does not hold" not in exact.stdout
    assert run("verify", tmp_path / "b", "--random", 200).exit_code == 0


def test_who_leads_documents_is_asked_for(made: Made, tmp_path: Path) -> None:
    folder = made("byte_level", "<odd>")
    refused = run("import", folder, "--out", tmp_path / "a")
    assert refused.exit_code == 1
    assert "--option bos=NAME" in refused.output
    assert not (tmp_path / "a").exists()
    assert run("import", folder, "--out", tmp_path / "a", "--option", "bos=<odd>").exit_code == 0
