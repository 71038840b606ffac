from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from nanoplug.registry.target import fault, files_sha256, resolve_target

SOURCE = """
import json as codec
from os import path, sep as separator
if codec:
    conditional = 1
try:
    from nowhere import wanted
except ImportError:
    wanted = None
first, (second, *rest) = 1, (2, 3)
annotated: int = 3
def function():
    local = 1
    global set_inside
    set_inside = 2
class Class:
    member = 1
"""


@pytest.fixture
def package(plugin_folder: Any) -> Path:
    plugin_folder.add("things", {"module": SOURCE, "star": "from json import *", "dynamic": "def __getattr__(n): ..."})
    inner = plugin_folder.path / "things" / "sub"
    inner.mkdir()
    (inner / "__init__.py").write_text("raise RuntimeError('imported')\nvalue = 1\n")
    (inner / "deep.py").write_text("value = 1\n")
    (plugin_folder.path / "things" / "native.abi3.so").write_bytes(b"\x7fELF")
    (plugin_folder.path / "things" / "wrong.py").write_text("def (:\n")
    return plugin_folder.path / "things"


NAMES = "codec path separator conditional wanted first second rest annotated function Class set_inside"


@pytest.mark.parametrize("name", NAMES.split(" "))
def test_every_way_of_binding_a_name_is_seen(package: Path, name: str) -> None:
    assert fault(f"things.module:{name}") == ""


@pytest.mark.parametrize(
    "target, says",
    [
        ("things.module:absent", "has no 'absent'"),
        ("things.module:local", "has no 'local'"),
        ("things.module:member", "has no 'member'"),
        ("things.nowhere:x", "no module 'things.nowhere'"),
        ("things.module.nowhere:x", "no module 'things.module.nowhere'"),
        ("no_such_top.x:y", "no module 'no_such_top'"),
        ("things.wrong:x", "does not parse"),
        ("things.sub:absent", "has no 'absent'"),
    ],
)
def test_a_lie_is_found(package: Path, target: str, says: str) -> None:
    assert says in fault(target)


@pytest.mark.parametrize(
    "target",
    ["things.module:Class.anything", "things.star:anything", "things.dynamic:anything", "things.native:anything",
     "things.sub:value", "things.sub.deep:value", "sys:anything"],
)  # fmt: skip
def test_what_files_cannot_refute_is_left_to_the_probe(package: Path, target: str) -> None:
    assert fault(target) == ""


def test_nothing_is_imported(package: Path) -> None:
    fault("things.sub.deep:value")
    files_sha256("things.sub.deep:value")
    assert not [name for name in sys.modules if name.startswith("things")]


def test_resolve_target_gives_the_object(package: Path) -> None:
    assert resolve_target("things.module:Class.member") == 1
    with pytest.raises(AttributeError):
        resolve_target("things.module:absent")


def test_the_hash_follows_names_and_contents_and_no_caches(package: Path) -> None:
    seen = {files_sha256("things.module:x")}
    assert files_sha256("things.star:y") in seen  # of the whole package
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "module.cpython-311.pyc").write_bytes(b"cache")
    assert files_sha256("things.module:x") in seen
    for change in (
        lambda: (package / "native.abi3.so").write_bytes(b"\x7fELF2"),
        lambda: (package / "star.py").rename(package / "moved.py"),
        lambda: (package / "data.bin").write_bytes(b""),
    ):
        change()
        now = files_sha256("things.module:x")
        assert now not in seen
        seen.add(now)


def test_a_single_module_and_a_builtin_have_a_hash_and_none(plugin_folder: Any) -> None:
    (plugin_folder.path / "lone.py").write_text("x = 1\n")
    assert len(files_sha256("lone:x")) == 64
    assert fault("lone:x") == ""
    assert "has no 'y'" in fault("lone:y")
    assert files_sha256("sys:path") == ""
    assert files_sha256("no_such_top:x") == ""
