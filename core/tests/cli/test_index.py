from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from nanoplug.cli.main import cli

pytest.importorskip("clang")

HEADER = """#pragma once
#include <string>

namespace shop {{

// What {name} sells.
struct Item {{
  std::string name;
  int price_{name} = 0;
  int twice() const {{ return price_{name} + price_{name}; }}
}};

int total_{name}(const Item* items, int count);

}}  // namespace shop
"""
SOURCE = """#include "{name}.h"

namespace shop {{
namespace {{

// Größe: adds the tax of {name}.
int with_tax_{name}(int price) {{
  return price + price / 5 + {size};
}}

}}  // namespace

// Sums up what all items of {name} cost.
int total_{name}(const Item* items, int count) {{
  int sum = 0;
  for (int i = 0; i < count; ++i) {{
    sum += with_tax_{name}(items[i].twice());
  }}
  return sum;
}}

}}  // namespace shop
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["data", *map(str, arguments)])


def make(root: Path, *names: str) -> Path:
    root.mkdir(parents=True)
    for name in names:
        (root / f"{name}.h").write_text(HEADER.format(name=name))
        (root / f"{name}.cc").write_text(SOURCE.format(name=name, size=len(name)))
    return root


def rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NANOPLUG_BASE_DIR", str(tmp_path / "base"))


def test_json_lines_of_one_project(tmp_path: Path) -> None:
    root, out = make(tmp_path / "proj", "books"), tmp_path / "out.jsonl"
    done = run("index", "--project-dir", root, "--output", out, "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["projects"] == ["proj"]
    (total,) = (row for row in rows(out) if "total_books(" in row["text"])
    assert (total["project"], total["path"]) == ("proj", "books.cc")
    helper = SOURCE.format(name="books", size=5).split("namespace {\n\n")[1].split("\n\n}")[0]
    root_text = SOURCE.split("// namespace\n\n")[1].split("\n\n}}")[0].format(name="books")
    item = HEADER.split("shop {{\n\n")[1].split("\n\nint")[0].format(name="books")
    assert total["text"] == (
        f'#include "books.h"\n\nnamespace shop {{\n\n{item}\n\nnamespace {{\n\n{helper}\n\n}}  // namespace\n\n'
        f"{root_text}\n\n}}  // namespace shop\n"
    ) or total["text"].index(helper) < total["text"].index(item) < total["text"].index(root_text)
    pairs = rows(tmp_path / "out.fim_pairs.jsonl")
    assert pairs[-1]["docstring"] == "Sums up what all items of books cost."
    assert pairs[-1]["signature"] == "int total_books(const Item* items, int count)"
    assert pairs[-1]["body"].startswith("  int sum = 0;\n")


def test_appending_adds_only_what_is_new(tmp_path: Path) -> None:
    one, two, out = make(tmp_path / "one", "books"), make(tmp_path / "two", "pens"), tmp_path / "out.jsonl"
    assert run("index", "--project-dir", one, "--output", out).exit_code == 0
    before = out.read_bytes()
    refused = run("index", "--project-dir", two, "--output", out)
    assert (refused.exit_code, "--append" in refused.output) == (1, True)
    assert run("index", "--project-dir", one, "--output", out, "--append").exit_code == 0
    assert out.read_bytes() == before
    assert run("index", "--project-dir", two, "--output", out, "--append").exit_code == 0
    assert out.read_bytes().startswith(before)
    assert {row["project"] for row in rows(out)} == {"one", "two"}


def test_shards_and_what_is_said(tmp_path: Path) -> None:
    root = make(tmp_path / "proj", *(f"part{number}" for number in range(6)))
    done = run("index", "--project-dir", root, "--output", tmp_path / "out", "--val-fraction", 0.3, "--no-fim-pairs")
    assert done.exit_code == 0, done.output
    words = [line.split("  ")[0] for line in done.stdout.splitlines()]
    for word in (
        "projects",
        "found",
        "training",
        "validation",
        "text",
        "repeats",
        "left out",
        "licences",
        "written to",
    ):
        assert word in words
    assert "(files of the one project)" in done.stdout
    assert not (tmp_path / "out" / "fim_pairs.jsonl").exists()
    shown = json.loads(run("show", tmp_path / "out", "--json").stdout)
    assert {row["use"] for row in shown["shards"]} == {"training", "validation"}


def test_many_projects_and_any_number_of_workers(tmp_path: Path) -> None:
    folder = tmp_path / "all"
    for name in ("books", "pens", "cups"):
        make(folder / name, name, f"{name}2")
    (folder / "empty").mkdir()
    outputs = []
    for workers in (1, 2):
        out = tmp_path / f"out{workers}"
        done = run("index", "--projects-dir", folder, "--output", out, "--workers", workers, "--no-cache", "--json")
        assert done.exit_code == 3, done.output
        assert json.loads(done.stdout)["failures"][0]["project"] == "empty"
        assert "empty: " in done.stderr
        outputs.append({path.name: path.read_bytes() for path in sorted(out.iterdir())})
    assert outputs[0] == outputs[1]
    assert set(outputs[0]) == {"data.json", "fim_pairs.jsonl", "train_00000.parquet", "val.parquet"}
    report = json.loads(outputs[0]["data.json"])["index"]
    assert report["projects"] == ["books", "cups", "pens"]
    assert report["split_by"] == "project"


def test_a_list_with_a_project_that_is_missing(tmp_path: Path) -> None:
    make(tmp_path / "books", "books")
    (tmp_path / "list").write_text(f"{tmp_path}/missing\n{tmp_path}/books\n")
    done = run("index", "--projects-list", tmp_path / "list", "--output", tmp_path / "out.jsonl")
    assert done.exit_code == 3
    assert "missing" in done.stderr
    assert {row["project"] for row in rows(tmp_path / "out.jsonl")} == {"books"}


def test_nothing_to_index(tmp_path: Path) -> None:
    (tmp_path / "proj").mkdir()
    done = run("index", "--project-dir", tmp_path / "proj", "--output", tmp_path / "out.jsonl")
    assert done.exit_code == 1
    assert "none of 1 project(s) could be indexed" in done.output
    assert not (tmp_path / "out.jsonl").exists()


def test_the_budget_is_that_of_the_tokenizer(tmp_path: Path) -> None:
    root = make(tmp_path / "proj", *(f"part{number}" for number in range(6)))
    arguments = ("index", "--project-dir", root, "--output")
    assert run(*arguments, tmp_path / "data").exit_code == 0
    paths = (tmp_path / "data", "--out", tmp_path / "tok")
    trained = CliRunner().invoke(
        cli,
        ["tokenizer", "train", "--tokenizer", "bpe", *("--vocab-size", "300"), "--data", *map(str, paths)],
    )
    assert trained.exit_code == 0, trained.output
    lines = tmp_path / "out.jsonl"
    done = run(*arguments, lines, "--tokenizer-dir", tmp_path / "tok", "--max-tokens", 150, "--json")
    assert done.exit_code == 0, done.output
    from nanoplug.cli.index import token_counter

    counts = token_counter(tmp_path / "tok")([row["text"] for row in rows(lines)])
    assert 100 < max(counts) <= 150
    assert json.loads(done.stdout)["longest_tokens"] == max(counts)


def test_filters_can_be_switched(tmp_path: Path) -> None:
    root = make(tmp_path / "proj", "books")
    (root / "LICENSE").write_text("GNU General Public License, version 3.\n")
    refused = run("index", "--project-dir", root, "--output", tmp_path / "no.jsonl")
    assert refused.exit_code == 1
    assert "licence GPL-2.0-or-later" in refused.output
    for more in (("--licences", "any"), ("--permit", "GPL-2.0-or-later")):
        done = run("index", "--project-dir", root, "--output", tmp_path / "yes.jsonl", "--force", *more)
        assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "exactly one of --project-dir"),
        (["--project-dir", "x", "--projects-dir", "y"], "exactly one of --project-dir"),
        (["--project-dir", ".", "--no-compile-db", "--compile-db", "x"], "contradict"),
        (["--project-dir", ".", "--workers", "0"], "--workers is 0"),
        (["--project-dir", ".", "--parse-workers", "0"], "--parse-workers is 0"),
        (["--project-dir", ".", "--max-tokens", "0"], "max_tokens is 0"),
        (["--project-dir", ".", "--near-duplicates", "2"], "threshold is 2.0"),
        (["--project-dir", ".", "--tokenizer-dir", "nowhere"], "nowhere is not a folder"),
    ],
)
def test_wrong_flags(tmp_path: Path, flags: list[str], message: str) -> None:
    done = run("index", "--output", tmp_path / "out.jsonl", *flags)
    assert done.exit_code == 1
    assert message in done.output


@pytest.mark.slow
def test_ray_gives_the_same(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    for name in ("books", "pens"):
        make(tmp_path / "all" / name, name)
    found: list[Any] = []
    for engine in ("local", "ray"):
        out = tmp_path / f"{engine}.jsonl"
        arguments = ("--engine", engine, "--parse-workers", 1, "--no-cache")
        done = run("index", "--projects-dir", tmp_path / "all", "--output", out, *arguments)
        assert done.exit_code == 0, done.output
        found.append(out.read_bytes())
    assert found[0] == found[1]
