from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

import nanoplug
from nanoplug.errors import PluginError


def test_load_gives_the_backend_made_with_its_options(plugin_folder: Any) -> None:
    options = "@frozen(kw_only=True)\nclass Options:\n    rows: int = 1\n"
    plugin_folder.add_backend("some_backend", "options=Options", manifest=options)
    assert nanoplug.load("attention", "some_backend", rows=8).options == {"rows": 8}
    with pytest.raises(PluginError, match="'rows'"):
        nanoplug.load("attention", "some_backend", rowz=8)


def test_load_says_why_not(plugin_folder: Any) -> None:
    plugin_folder.add_backend("some_backend", "needs=Needs(platforms='plan9')")
    with pytest.raises(PluginError, match="cannot serve") as caught:
        nanoplug.load("attention", "some_backend")
    assert "plan9" in str(caught.value)


def test_plugins_gives_rows(plugin_folder: Any) -> None:
    plugin_folder.add_backend("some_backend", kind="tokenizer", backend="import os; os._exit(7)\nclass Backend: pass")
    (row,) = [row for row in nanoplug.plugins("tokenizer", probe=False) if row.name == "some_backend"]
    assert (row.status, row.reasons) == ("ready", ())
    (row,) = [row for row in nanoplug.plugins(kind="tokenizer") if row.name == "some_backend"]
    assert (row.status, len(row.reasons)) == ("quarantined", 1)
    with pytest.raises(PluginError, match="'kernel'"):
        nanoplug.plugins("kernl")


def test_importing_nanoplug_imports_nothing_else() -> None:
    code = """
import sys
before = set(sys.modules)
import nanoplug
new = {name for name in set(sys.modules) - before if name.startswith("nanoplug")}
assert new == {"nanoplug"}, new
assert nanoplug.__version__ and "torch" not in sys.modules
try:
    nanoplug.nothing
except AttributeError as error:
    assert "nothing" in str(error)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
