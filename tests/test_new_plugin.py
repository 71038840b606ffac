"""What `nanoplug new-plugin` writes keeps the laws of its kind as it is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nanoplug.cli.new_plugin import write_plugin
from nanoplug.spec import KINDS

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", KINDS)
def test_its_conformance_test_is_green(kind: str, tmp_path: Path, plugin_folder: Any) -> None:
    folder, package = tmp_path / "written", f"nanoplug_{kind}_foo"
    write_plugin(kind, "foo", folder)
    modules = {path.stem: path.read_text(encoding="utf-8") for path in (folder / "src" / package).glob("*.py")}
    plugin_folder.add(package, modules, entry_points=f"[nanoplug.plugins]\nfoo = {package}.manifest\n")
    pytest_command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder / "tests")]
    finished = subprocess.run(
        pytest_command,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(plugin_folder.path)},
        cwd=folder,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
    passed = int(finished.stdout.rpartition(" passed")[0].split()[-1])
    assert passed >= 25, finished.stdout


def test_its_types_are_checked(tmp_path: Path) -> None:
    sources = []
    for kind in KINDS:
        write_plugin(kind, "foo", tmp_path / kind)
        sources.append(str(tmp_path / kind / "src"))
    mypy = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), *sources]
    environment = {**os.environ, "MYPYPATH": os.pathsep.join(sources)}
    finished = subprocess.run(mypy, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_the_wheel_of_the_core_brings_the_templates(clean_environment: Callable[..., Any], core_wheel: Path) -> None:
    light = clean_environment(core_wheel, heavy=False)
    for kind in KINDS:
        finished = light.run("nanoplug", "new-plugin", kind, "foo")
        assert finished.returncode == 0, finished.stderr
        assert f"src/nanoplug_{kind}_foo/py.typed" in finished.stdout
