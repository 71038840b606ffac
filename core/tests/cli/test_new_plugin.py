from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nanoplug.cli.new_plugin import write_plugin
from nanoplug.errors import ConfigError
from nanoplug.spec import KINDS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Run = Callable[..., Any]


def _project(folder: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project


@pytest.mark.parametrize("kind", KINDS)
def test_it_writes_a_whole_package_and_says_what_is_next(kind: str, tmp_path: Path, run_here: Run) -> None:
    folder = tmp_path / "new" / "place"
    ended = run_here("new-plugin", kind, "foo_2", "--out", str(folder))
    assert (ended.exit_code, ended.stderr) == (0, "")
    package = f"nanoplug_{kind}_foo_2"
    listed = [line.strip() for line in ended.stdout.splitlines() if line.startswith("  ")]
    there = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert there == listed[: len(there)]
    assert {
        "README.md",
        "pyproject.toml",
        f"src/{package}/__init__.py",
        f"src/{package}/manifest.py",
        f"src/{package}/{kind}.py",
        f"src/{package}/py.typed",
        "tests/test_conformance.py",
    } == set(there)
    assert listed[len(there) :][:2] == [f"pip install --editable {folder}", f"nanoplug verify {kind} foo_2"]
    project = _project(folder)
    assert project["name"] == f"nanoplug-{kind}-foo-2"
    assert project["entry-points"] == {"nanoplug.plugins": {"foo_2": f"{package}.manifest"}}
    assert "authors" not in project
    for path in folder.rglob("*"):
        assert "$" not in str(path)
        assert path.is_dir() or "$" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["a", "quite_a_long_name_for_one"])
def test_what_it_writes_is_in_the_house_style(kind: str, name: str, tmp_path: Path) -> None:
    write_plugin(kind, name, tmp_path / "it")
    settings = str(Path(__file__).parents[3] / "pyproject.toml")
    for command in (["check"], ["format", "--check", "--diff"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--config", settings, "--no-cache", str(tmp_path)]
        finished = subprocess.run(ruff, capture_output=True, text=True, check=False)
        assert finished.returncode == 0, finished.stdout + finished.stderr


def test_without_out_it_goes_into_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_here: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_here("new-plugin", "kernel", "foo").exit_code == 0
    assert _project(tmp_path / "nanoplug-kernel-foo")["name"] == "nanoplug-kernel-foo"


def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path, run_here: Run) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("mine", encoding="utf-8")
    ended = run_here("new-plugin", "attention", "foo", "--out", str(tmp_path))
    assert ended.exit_code == 1
    assert f"error: {tmp_path} exists already." in ended.stderr
    assert [*tmp_path.iterdir()] == [mine]


def test_a_folder_that_cannot_be_made_is_one_clear_sentence(tmp_path: Path, run_here: Run) -> None:
    (tmp_path / "file").touch()
    ended = run_here("new-plugin", "attention", "foo", "--out", str(tmp_path / "file" / "foo"))
    assert (ended.exit_code, ended.exception) == (1, None)
    assert "foo cannot be written" in ended.stderr


@pytest.mark.parametrize(
    "name",
    ["Foo", "1foo", "foo-bar", "foo bar", "_foo", "foo_", "foo__bar", "füü", "foo.bar", "../foo", "auto", "forbid"],
)
def test_a_name_that_cannot_be_one_is_refused(name: str, tmp_path: Path, run_here: Run) -> None:
    ended = run_here("new-plugin", "attention", name, "--out", str(tmp_path / "out"))
    assert ended.exit_code == 1
    assert ended.stderr.startswith(f"error: {name!r} cannot name a plugin")
    assert not (tmp_path / "out").exists()


def test_a_name_that_is_taken_is_refused(tmp_path: Path, plugin_folder: Any, run_here: Run) -> None:
    plugin_folder.add_backend("gamma")
    ended = run_here("new-plugin", "attention", "gamma", "--out", str(tmp_path / "out"))
    assert ended.exit_code == 1
    assert "attention 'gamma' is taken: gamma 1.0 is installed" in ended.stderr
    assert run_here("new-plugin", "kernel", "gamma", "--out", str(tmp_path / "out")).exit_code == 0


def test_a_package_that_is_taken_is_refused(tmp_path: Path, plugin_folder: Any, run_here: Run) -> None:
    plugin_folder.add("nanoplug_kernel_delta", {"other": ""}, entry_points="\n")
    importlib.invalidate_caches()
    ended = run_here("new-plugin", "kernel", "delta", "--out", str(tmp_path / "out"))
    assert ended.exit_code == 1
    assert "a package nanoplug_kernel_delta is installed already" in ended.stderr


@pytest.mark.parametrize(
    ("author", "written"),
    [
        ("Ada Lovelace", [{"name": "Ada Lovelace"}]),
        ("Ada <ada@example.org>", [{"name": "Ada", "email": "ada@example.org"}]),
        ('A "quoted" \\ Änne $name', [{"name": 'A "quoted" \\ Änne $name'}]),
    ],
)
def test_an_author_is_named(author: str, written: list[dict[str, str]], tmp_path: Path) -> None:
    write_plugin("device", "foo", tmp_path / "out", author=author)
    assert _project(tmp_path / "out")["authors"] == written


def test_an_author_of_several_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one line"):
        write_plugin("device", "foo", tmp_path / "out", author="Ada\nversion = '9'")
    assert not (tmp_path / "out").exists()
