"""`nanoplug bench tokenizer`, held with the kit's reference tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from nanoplug.cli import bench_tokenizer
from nanoplug.cli.main import cli
from nanoplug.conformance.tokenizer_texts import cpp_source
from nanoplug.data.shards import Document, write_shard


@pytest.fixture(scope="module")
def folder(words_family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("benched")
    for name in ("train_00000", "val"):
        write_shard(base / f"{name}.parquet", [Document(f"{name}.h", cpp_source(1, 300))])
    for size in (300, 500):
        arguments = [
            "tokenizer",
            "train",
            "--data",
            str(base),
            "--vocab-size",
            str(size),
            "--out",
            str(base / f"v{size}"),
        ]
        done = CliRunner().invoke(cli, arguments)
        assert done.exit_code == 0, done.output
    (base / "texts").mkdir()
    for number in range(6):
        (base / "texts" / f"{number}.h").write_text(cpp_source(number, 40))
    (base / "texts" / "empty.h").write_text("")
    return base


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setenv("NANOPLUG_BASE_DIR", str(tmp_path / "base"))
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "no_peers"))

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(cli, ["bench", "tokenizer", *map(str, arguments)])

    return invoke


def test_a_table_and_rows(run: Any, folder: Path, tmp_path: Path) -> None:
    done = run(folder / "v300", folder / "v500", "--texts", folder / "texts", "--rounds", 1)
    assert done.exit_code == 0, done.output
    assert "6 texts, 0.01 MB" in done.stdout
    assert "left out: cl100k_base: tiktoken has not fetched it" in done.stdout
    order = [line.split()[0] for line in done.stdout.splitlines() if " exact" in line]
    assert order == ["v500", "v300"]
    written = (tmp_path / "base" / "bench" / "bench.jsonl").read_text().splitlines()
    first, second = map(json.loads, written)
    assert (first["name"], second["name"]) == ("v500", "v300")
    assert first["bytes"] == sum(path.stat().st_size for path in (folder / "texts").iterdir())
    assert first["bytes_per_token"] == pytest.approx(first["bytes"] / first["tokens"])
    assert all(first[key] > 0 for key in first if key.endswith("_mb_s"))


def test_json_results_plot_and_limit(run: Any, folder: Path, tmp_path: Path) -> None:
    size = (folder / "texts" / "0.h").stat().st_size
    limit = ("--limit-mb", 2.5 * size / 1e6, "--no-peers")
    out, picture = tmp_path / "rows" / "r.jsonl", tmp_path / "p.svg"
    more = ("--results", out, "--plot", picture, "--json", *limit)
    done = run(folder / "v300", "--texts", folder / "texts" / "0.h", "--texts", folder / "texts", "--rounds", 1, *more)
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)
    assert row["files"] < 7
    assert row["bytes"] <= 2.5 * size
    assert "files left out beyond --limit-mb" in done.stderr
    assert "cl100k" not in done.output
    assert json.loads(out.read_text()) == row
    assert "<svg" in picture.read_text()


def test_what_fails_is_a_row_that_says_so(
    run: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = bench_tokenizer.opened

    def opened(path: Path) -> Any:
        piece, tokenizer = real(path)
        monkeypatch.setattr(type(tokenizer), "decode_bytes", lambda self, ids: b"")
        return piece, tokenizer

    monkeypatch.setattr(bench_tokenizer, "opened", opened)
    done = run(folder / "v300", "--texts", folder / "texts", "--no-peers")
    assert done.exit_code == 0
    (row,) = map(json.loads, (tmp_path / "base" / "bench" / "bench.jsonl").read_text().splitlines())
    assert row["failed"].startswith("not measured: breaks round trip: texts of the kit, round trip: files")
    assert row["encode_mb_s"] is None
    assert "no" in done.stdout.splitlines()[-3].split()


def test_what_goes_wrong(run: Any, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for arguments, says in (
        ((folder / "v300", "--texts", tmp_path / "empty"), "there is no text in"),
        ((folder / "v300", "--texts", tmp_path / "gone"), "cannot be read"),
        ((tmp_path / "empty", "--texts", folder / "texts"), "manifest.json"),
        ((folder / "v300", "--texts", folder / "texts", "--plot", "b.txt"), "must end in .png"),
    ):
        done = run(*arguments)
        assert done.exit_code == 1, (arguments, done.output)
        assert says in done.output
    assert run("--texts", folder / "texts").exit_code == 2
