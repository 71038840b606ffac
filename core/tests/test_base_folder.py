"""The base folder follows its one environment variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from nanoplug.base_folder import base_folder


def test_variable_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NANOPLUG_BASE_DIR", str(tmp_path))
    assert base_folder() == tmp_path


@pytest.mark.parametrize("value", [None, ""])
def test_home_cache_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str | None) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    if value is None:
        monkeypatch.delenv("NANOPLUG_BASE_DIR", raising=False)
    else:
        monkeypatch.setenv("NANOPLUG_BASE_DIR", value)
    assert base_folder() == tmp_path / ".cache" / "nanoplug"
