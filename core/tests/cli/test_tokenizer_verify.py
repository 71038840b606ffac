"""Held with the kit's reference tokenizer, and with one that loses bytes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from attrs import frozen
from click.testing import CliRunner, Result

from nanoplug.cli import tokenizer_verify
from nanoplug.cli.main import cli
from nanoplug.conformance.tokenizer_reference import ReferenceFactory, ReferenceTokenizer
from nanoplug.conformance.tokenizer_texts import cpp_source
from nanoplug.conformance.tokenizer_wrong import FoldsLineEnds
from nanoplug.data.shards import Document, write_shard
from nanoplug.data.tokenizer_folder import save_tokenizer
from nanoplug.errors import PluginError


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["tokenizer", *map(str, arguments)])


@pytest.fixture(scope="module")
def folder(words_family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("verified")
    for name in ("train_00000", "val"):
        write_shard(base / f"{name}.parquet", [Document(f"{name}.h", cpp_source(1, 100))])
    done = run("train", "--data", base, "--vocab-size", 400, "--out", base / "tokenizer")
    assert done.exit_code == 0, done.output
    return base / "tokenizer"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "src" / "deep").mkdir(parents=True)
    (tmp_path / "src" / "a.h").write_bytes(b"int x;\r\n" * 10)
    (tmp_path / "src" / "deep" / "b.bin").write_bytes(bytes(range(256)))
    (tmp_path / "src" / "gone.h").symlink_to(tmp_path / "nowhere")
    (tmp_path / "src" / "round").symlink_to(tmp_path / "src")
    return tmp_path / "src"


def test_a_right_one_passes(folder: Path, tree: Path) -> None:
    done = run("verify", folder, tree, tree / "a.h", "--random", 300)
    assert done.exit_code == 0, done.output
    assert "3 files, 416 bytes" in done.stdout
    assert "300 random strings" in done.stdout
    assert done.stdout.splitlines()[-1].startswith(f"PASSED  {folder}: ")
    document = json.loads(run("verify", folder, "--random", 0, "--json").stdout)
    assert document["passed"] is True
    assert {"round trip: texts of the kit", "save and load"} <= {row["law"] for row in document["laws"]}


def test_a_wrong_one_fails(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "wrong"
    save_tokenizer(FoldsLineEnds(), folder, plugin_id="acme:words", distribution="acme", version="1")
    piece: Any = type(
        "Piece", (), {"backend": ReferenceFactory(FoldsLineEnds), "id": "", "name": "words", "options": {}}
    )
    monkeypatch.setattr(tokenizer_verify, "opened", lambda *_: (piece, FoldsLineEnds()))
    monkeypatch.setattr(tokenizer_verify, "_engines", lambda _: ("fast", "slow"))
    done = run("verify", folder, tree, "--random", 50)
    assert done.exit_code == 1
    assert "BROKEN  round trip: files" in done.stdout
    assert "a.h: byte 6: b'\\r\\nint" in done.stdout
    assert "ids by engine=fast" in done.stdout
    assert "FAILED" in done.stdout.splitlines()[-1]


def test_against_another_option(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, asked = tokenizer_verify.opened, []

    def opened(path: Path, options: Any = None) -> Any:
        asked.append(options)
        return real(path) if options is None else (None, ReferenceTokenizer())

    monkeypatch.setattr(tokenizer_verify, "opened", opened)
    done = run("verify", folder, "--random", 20, "--against", "rounds=3")
    assert asked == [None, {"rounds": 3}]
    assert done.exit_code == 1
    assert "BROKEN  ids by rounds=3" in done.stdout


@frozen
class Options:
    engine: Literal["auto", "fast", "plain", "gone"] = "auto"


def test_every_engine_that_the_plugin_names(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = SimpleNamespace(spec=SimpleNamespace(options=Options))
    monkeypatch.setattr(
        sys.modules["nanoplug.registry.discover"], "discover", lambda: SimpleNamespace(named=lambda kind, name: [entry])
    )
    asked = []

    def opened(path: Path, options: Any = None) -> Any:
        asked.append(options)
        if options == {"engine": "gone"}:
            raise PluginError("gone is not installed.")
        piece = SimpleNamespace(id="words", name="words", options={"engine": "auto"}, backend=ReferenceFactory())
        return piece, ReferenceTokenizer([b"int", b"if"][: 1 if options == {"engine": "plain"} else 2])

    monkeypatch.setattr(tokenizer_verify, "opened", opened)
    done = run("verify", folder, "--random", 20, "--against", "engine=fast")
    assert asked == [None, {"engine": "fast"}, {"engine": "plain"}, {"engine": "gone"}]
    assert "left out: engine=gone: gone is not installed." in done.stderr
    assert "ok      ids by engine=fast" in done.stdout
    assert "BROKEN  ids by engine=plain" in done.stdout
    assert done.exit_code == 1


def test_what_cannot_be_verified(folder: Path, tmp_path: Path) -> None:
    for arguments, says in (
        ((tmp_path,), "manifest.json"),
        ((folder, tmp_path / "gone.h"), "cannot be read"),
        ((folder, "--against", "x"), "--against 'x' does not parse"),
        ((folder, "--against", "nosuch=1"), "nosuch"),
    ):
        done = run("verify", *arguments, "--random", 0)
        assert done.exit_code == 1, (arguments, done.output)
        assert says in done.output
