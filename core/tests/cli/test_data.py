from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nanoplug.cli.main import cli


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["data", *map(str, arguments)])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "proj"
    root.mkdir()
    for number in range(40):
        (root / f"f{number}.h").write_text(f"int x{number};")
    (root / "notes.txt").write_text("not code")
    (root / "made.h").write_text("// @generated\n")
    return root


def test_build_and_show(tmp_path: Path, project: Path) -> None:
    built = run("build", "--source", project, "--out", tmp_path / "out", "--json")
    assert built.exit_code == 0, built.output
    report = json.loads(built.stdout)
    assert report["train_documents"] + report["val_documents"] == 40
    assert report["skipped"] == {"not C or C++ by its name": 1, "generated": 1}
    shown = json.loads(run("show", tmp_path / "out", "--json").stdout)
    assert [row["use"] for row in shown["shards"]] == ["training", "validation"]
    assert sum(row["documents"] for row in shown["shards"]) == 40
    text = run("show", tmp_path / "out").stdout
    assert "train_00000.parquet" in text
    assert "left out    1 generated, 1 not C or C++ by its name" in text


def test_what_is_printed(tmp_path: Path, project: Path) -> None:
    done = run("build", "--source", project, "--out", tmp_path / "out", "--val-fraction", 0.5)
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["training", "validation", "left", "written"]


def test_it_is_made_again_only_by_force(tmp_path: Path, project: Path) -> None:
    arguments = ("build", "--source", project, "--out", tmp_path / "out")
    assert run(*arguments).exit_code == 0
    second = run(*arguments)
    assert second.exit_code == 1
    assert "--force" in second.output
    assert run(*arguments, "--force").exit_code == 0


@pytest.mark.parametrize("content", [b"\0binary", b"", b"\xff\xfe"])
def test_nothing_to_train_on(tmp_path: Path, content: bytes) -> None:
    root = tmp_path / "proj"
    root.mkdir()
    (root / "a.cpp").write_bytes(content)
    done = run("build", "--source", root, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert done.output.startswith("error: ")
    assert "no C or C++ file is left" in done.output
    assert not (tmp_path / "out").exists()


def test_showing_what_is_no_data(tmp_path: Path) -> None:
    done = run("show", tmp_path)
    assert done.exit_code == 1
    assert "holds 0 shard(s)" in done.output
