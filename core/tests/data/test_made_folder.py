from __future__ import annotations

from pathlib import Path

import pytest

from nanoplug.data.made_folder import made_folder
from nanoplug.errors import DataError

MARK = "mark.json"


def make(out: Path, text: str, *, rebuild: bool = False) -> None:
    with made_folder(out, mark=MARK, rebuild=rebuild) as folder:
        (folder / MARK).write_text(text)


def fail_within(out: Path) -> None:
    with made_folder(out, mark=MARK, rebuild=True) as folder:
        (folder / MARK).write_text("half")
        raise ZeroDivisionError


def everything(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_new_folder_and_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("new/below", "empty"):
        make(tmp_path / name, "a")
    assert everything(tmp_path) == {"new/below/mark.json": "a", "empty/mark.json": "a"}


def test_it_is_replaced_only_on_demand(tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out, "first")
    (out / "more").write_text("old")
    with pytest.raises(DataError, match="is made already") as caught:
        make(out, "second")
    assert "--force" in str(caught.value)
    assert everything(tmp_path) == {"out/mark.json": "first", "out/more": "old"}
    make(out, "second", rebuild=True)
    assert everything(tmp_path) == {"out/mark.json": "second"}


@pytest.mark.parametrize("rebuild", [False, True])
def test_what_is_not_ours_is_left_alone(tmp_path: Path, rebuild: bool) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis").write_text("years of work")
    (tmp_path / "file").write_text("x")
    for name in ("out", "file"):
        with pytest.raises(DataError, match="is there already"):
            make(tmp_path / name, "second", rebuild=rebuild)
    assert everything(tmp_path) == {"file": "x", "out/thesis": "years of work"}


def test_an_error_changes_nothing(tmp_path: Path) -> None:
    make(tmp_path / "old", "first")
    for name in ("old", "new"):
        with pytest.raises(ZeroDivisionError):
            fail_within(tmp_path / name)
    assert everything(tmp_path) == {"old/mark.json": "first"}
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
