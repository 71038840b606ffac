"""Clean environments: what somebody has who installs wheels of this project, and nothing else of it."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

# A package of its own, tested where it is installed.
collect_ignore = ["out_of_tree"]

ROOT = Path(__file__).parent.parent
LIGHT = ("pluggy", "attrs", "cattrs", "click", "rich", "tomli")
HEAVY = ("torch", "numpy", "pytest", "pytest-timeout")


class CleanEnvironment:
    """A virtual environment with `wheels` installed, and the distributions `names` of this environment linked in."""

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
        """Run a program of the environment."""
        return self._run([str(self.folder / "bin" / command[0]), *command[1:]], cwd)

    def shell(self, line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a line as somebody types it who has activated the environment."""
        return self._run(["bash", "-c", line], cwd)

    def _run(self, command: list[str], cwd: Path | None) -> subprocess.CompletedProcess[str]:
        environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
        environment |= {
            "NANOPLUG_BASE_DIR": str(self.folder / "base"),
            "OMP_NUM_THREADS": "1",
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            # What is needed is linked in: nothing is fetched, and a wheel is built with what is here.
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        return subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=cwd or self.folder, timeout=300, check=False
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


@pytest.fixture(scope="session")
def core_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _wheel(ROOT / "core", tmp_path_factory.mktemp("core_wheel"))


@pytest.fixture(scope="session")
def acme_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _wheel(ROOT / "tests" / "out_of_tree" / "acme", tmp_path_factory.mktemp("acme_wheel"))


@pytest.fixture(scope="session")
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., CleanEnvironment]:
    """`clean_environment(*wheels)` makes one with what `verify` needs; `heavy=False` with what the core needs alone.

    also: further distributions of this environment to have there.
    """

    def make(*wheels: Path, heavy: bool = True, also: tuple[str, ...] = ()) -> CleanEnvironment:
        names = (*LIGHT, *(HEAVY if heavy else ()), *also)
        return CleanEnvironment(tmp_path_factory.mktemp("clean") / "venv", list(wheels), names)

    return make


def _wheel(source: Path, folder: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(source)], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel
