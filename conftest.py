"""Fixtures of every test: a base folder of its own, and folders into which distributions are put as pip would."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

pytest_plugins = ["nanoplug.conformance.pytest_summary"]

BACKEND = """
class Backend:
    def __init__(self, **options):
        self.options = options

    def attend(self, q_BTHD, k_BSGD, v_BSGD, *, mask):
        return q_BTHD

    def attend_cached(self, q_BTHD, k_BTGD, v_BTGD, cache, *, mask):
        return q_BTHD
"""


class PluginFolder:
    """A folder on the path that holds distributions, each with its metadata."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, package: str, modules: Mapping[str, str], *, version: str = "1.0", entry_points: str = "") -> str:
        """Put distribution `package` there, `_` written as `-`; returns that name.

        `modules` are its files by module name; the entry point names its `manifest`, unless `entry_points` is given.
        """
        name = package.replace("_", "-")
        folder, info = self.path / package, self.path / f"{package}-{version}.dist-info"
        folder.mkdir(parents=True, exist_ok=True)
        info.mkdir(exist_ok=True)
        (folder / "__init__.py").touch()
        for module, text in modules.items():
            (folder / f"{module}.py").write_text(textwrap.dedent(text).lstrip(), encoding="utf-8")
        points = entry_points or f"[nanoplug.plugins]\n{package} = {package}.manifest\n"
        (info / "entry_points.txt").write_text(points, encoding="utf-8")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
        return name

    def add_backend(
        self, package: str, declares: str = "", *, kind: str = "attention", backend: str = BACKEND, manifest: str = ""
    ) -> str:
        """A distribution with one backend that has the package's name; `declares` are further arguments of its spec.

        A `name=` or `load=` among them replaces the usual one; `manifest` is put before the hook.
        """
        arguments = f'{{"name": "{package}", "summary": "", "load": "{package}.backend:Backend", **dict({declares})}}'
        text = "\n".join(
            [
                "from attrs import frozen",
                f"from nanoplug.spec import Needs, hookimpl, {kind.title()}Spec",
                textwrap.dedent(manifest),
                "@hookimpl",
                f"def nanoplug_{kind}():",
                f"    return [{kind.title()}Spec(**{arguments})]",
                "",
            ]
        )
        return self.add(package, {"manifest": text, "backend": backend})


@pytest.fixture(autouse=True, scope="session")
def _base_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing that a test does touches the base folder of whoever runs it; backends are probed once a session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NANOPLUG_BASE_DIR", str(tmp_path_factory.mktemp("base")))
        yield


@pytest.fixture
def plugin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PluginFolder]:
    """First on the path of this process; what is imported from it is forgotten afterwards."""
    folder = tmp_path / "installed"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield PluginFolder(folder)
    for name, module in list(sys.modules.items()):
        if str(folder) in str(getattr(module, "__file__", None) or getattr(module, "__path__", "")):
            del sys.modules[name]


class Ended(NamedTuple):
    """How a command ended that ran in this process; `exception` is what it let through."""

    exit_code: int
    stdout: str
    stderr: str
    exception: BaseException | None = None

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


@pytest.fixture
def run_here(capsys: pytest.CaptureFixture[str]) -> object:
    """Runs `nanoplug ARGUMENTS` in this process."""
    from nanoplug.cli.main import main

    def run(*arguments: str) -> Ended:
        capsys.readouterr()
        code, exception = 0, None
        try:
            main(arguments)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except Exception as error:
            code, exception = 1, error
        return Ended(code, *capsys.readouterr(), exception)

    return run


@pytest.fixture
def nanoplug_cli() -> object:
    """Runs `python -m nanoplug ARGUMENTS` with folders put on its path; gives the finished process."""

    def run(*arguments: str, path: tuple[Path, ...] = (), timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
        command = [sys.executable, "-m", "nanoplug", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=timeout_s, check=False)

    return run
