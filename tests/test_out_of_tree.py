"""A package that is not of this project, as a wheel beside the core alone: found, used, proved, and in the receipt."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
LIGHT = ("pluggy", "attrs", "cattrs", "click", "rich", "tomli")
HEAVY = ("torch", "numpy", "pytest", "pytest-timeout")

pytestmark = pytest.mark.slow


class CleanEnvironment:
    """A virtual environment with the wheels of the core and of acme, and `names` of this environment linked in."""

    def __init__(self, folder: Path, wheels: list[Path], names: tuple[str, ...]) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet"]
        subprocess.run([*pip, "--no-deps", "--no-index", *map(str, wheels)], check=True)
        site = next(folder.glob("lib/python*/site-packages"))
        for source in _installed_files(names):
            if not (site / source.name).exists():
                (site / source.name).symlink_to(source)

    def run(self, *command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
        environment |= {"NANOPLUG_BASE_DIR": str(self.folder / "base"), "OMP_NUM_THREADS": "1"}
        program = str(self.folder / "bin" / command[0])
        return subprocess.run(
            [program, *command[1:]],
            capture_output=True,
            text=True,
            env=environment,
            cwd=cwd or self.folder,
            timeout=300,
            check=False,
        )


def _installed_files(names: tuple[str, ...]) -> Iterator[Path]:
    """Top-level files and folders, metadata too, of distributions here and of all that they need."""
    pending, seen = list(names), set()
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # a dependency for another platform or Python
        for text in distribution.requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                pending.append(requirement.name)
        tops = {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}
        yield from (Path(str(distribution.locate_file(top))) for top in sorted(tops))


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("wheels")
    sources = [str(ROOT / "core"), str(ROOT / "tests" / "out_of_tree" / "acme")]
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(folder), *sources], check=True)
    return sorted(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> CleanEnvironment:
    return CleanEnvironment(tmp_path_factory.mktemp("clean") / "venv", wheels, (*LIGHT, *HEAVY))


def _json(finished: subprocess.CompletedProcess[str]) -> Any:
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def test_it_is_the_only_plugin_and_ready(environment: CleanEnvironment) -> None:
    (row,) = _json(environment.run("nanoplug", "plugins", "list", "--json"))
    assert row == {
        "kind": "attention",
        "name": "acme",
        "id": "acme-attention:acme",
        "distribution": "acme-attention",
        "version": "0.3.0",
        "api": ">=1,<2",
        "status": "ready",
        "reasons": [],
    }
    assert environment.run("nanoplug", "plugins", "doctor").returncode == 0


def test_its_command_is_there(environment: CleanEnvironment) -> None:
    assert "Greet somebody from Acme." in environment.run("nanoplug", "--help").stdout
    assert environment.run("nanoplug", "acme-hello", "--name", "you").stdout == "acme greets you\n"


def test_it_passes_verify_by_name(environment: CleanEnvironment) -> None:
    report = _json(environment.run("nanoplug", "verify", "attention", "acme", "--json"))
    assert report["failed"] == 0
    assert report["passed"] > 100


def test_its_inherited_test_class_runs(environment: CleanEnvironment, tmp_path: Path) -> None:
    test = ROOT / "tests" / "out_of_tree" / "acme" / "tests" / "test_conformance.py"
    (tmp_path / "test_conformance.py").write_text(test.read_text(encoding="utf-8"), encoding="utf-8")
    finished = environment.run("python", "-m", "pytest", "-q", "-k", "causal", "test_conformance.py", cwd=tmp_path)
    assert finished.returncode == 0, finished.stdout
    assert "passed" in finished.stdout


def test_it_is_chosen_by_name_and_in_the_receipt(environment: CleanEnvironment) -> None:
    code = """
from nanoplug.registry import *
piece = resolve(discover(), Machine.here(), kind="attention", site="attention.train", choice=Choice.parse("acme"),
                request=Request(dtype="fp32", backward=True), options={"block_tokens": 32})
print(Receipt.of([piece]).to_json())
"""
    (piece,) = _json(environment.run("python", "-c", code))["pieces"]
    assert (piece["site"], piece["name"], piece["why"]) == ("attention.train", "acme", "by name")
    assert (piece["distribution"], piece["version"]) == ("acme-attention", "0.3.0")
    assert piece["options"] == {"block_tokens": 32}
    assert len(piece["files_sha256"]) == 64


def test_with_the_light_part_alone_everything_light_still_works(wheels: list[Path], tmp_path: Path) -> None:
    light = CleanEnvironment(tmp_path / "venv", wheels, LIGHT)
    (row,) = _json(light.run("nanoplug", "plugins", "list", "--json"))
    assert row["status"] == "unavailable"
    assert "needs torch>=2.9, which is not installed" in row["reasons"][0]
    on = ("--on", "sm_89,torch=2.11,dtype=bf16,head_dim=128,window=1024")
    assert _json(light.run("nanoplug", "explain", "attention", *on, "--json"))["chosen"] == "acme"
    finished = light.run("nanoplug", "verify", "attention", "acme")
    assert finished.returncode == 1
    assert finished.stderr.startswith("error: ")
    assert "Traceback" not in finished.stderr
