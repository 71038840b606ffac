from __future__ import annotations

from pathlib import Path

import pytest

from nanoplug.cli.projects import find_projects
from nanoplug.errors import ConfigError, DataError


def test_sub_folders_in_order_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("b", "a", ".git"):
        (tmp_path / name).mkdir()
    (tmp_path / "readme.txt").write_text("")
    assert find_projects(None, None, tmp_path) == {"a": tmp_path / "a", "b": tmp_path / "b"}


def test_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list").write_text(f"# mine\n{tmp_path}/z\n\n  a/x\nmissing\nb/x\n{tmp_path}/z\n")
    assert list(find_projects(None, tmp_path / "list", None).values()) == [
        tmp_path / name for name in ("z", "a/x", "missing", "b/x")
    ]
    assert [name.split("/")[-2:] for name in find_projects(None, tmp_path / "list", None)] == [
        [tmp_path.name, "z"],
        ["a", "x"],
        [tmp_path.name, "missing"],
        ["b", "x"],
    ]


def test_one_is_named_after_its_folder_wherever_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "proj").mkdir()
    monkeypatch.chdir(tmp_path / "proj")
    assert find_projects(Path("."), None, None) == {"proj": tmp_path / "proj"}


def test_exactly_one_way(tmp_path: Path) -> None:
    for given in ((None, None, None), (tmp_path, tmp_path, None), (tmp_path, tmp_path, tmp_path)):
        with pytest.raises(ConfigError, match="exactly one"):
            find_projects(*given)


def test_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "list").write_text("# nothing\n")
    for given, message in (
        ((tmp_path / "no", None, None), "not a folder"),
        ((None, tmp_path / "no", None), "cannot be read"),
        ((None, tmp_path / "list", None), "lists no project"),
        ((None, None, tmp_path / "no"), "not a folder"),
        ((None, None, tmp_path / "empty"), "no sub-folder"),
    ):
        with pytest.raises(DataError, match=message):
            find_projects(*given)
