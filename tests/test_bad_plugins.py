"""Plugins that are wrong in every way we know, each installed beside sound ones: reported, and harmless."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent / "bad_plugins"
HOW = sorted(path.name for path in FOLDER.iterdir() if path.is_dir() and path.name != "good")
Run = Callable[..., subprocess.CompletedProcess[str]]

# name of the row, its kind, its status, and words of its reason
SAYS: dict[str, tuple[str, str, str, str]] = {
    "api99": ("api99", "attention", "broken", "speaks hook API >=99, this nanoplug speaks 1"),
    "exits": ("exits", "", "broken", "calls sys.exit(3)"),
    "heavy": ("heavy", "attention", "ready", "heavy: its manifest imports"),
    "liar": ("liar", "attention", "broken", "lies: bad_liar.backend has no 'Missing'"),
    "liar_module": ("liar_module", "attention", "broken", "'bad_liar_module.nowhere'"),
    "misspelt": ("misspelt", "", "broken", "'nanoplug_atention' (did you mean 'nanoplug_attention'?)"),
    "os_exit": ("os_exit", "attention", "quarantined", "ended the process with exit status 7"),
    "raises": ("raises", "", "broken", "RuntimeError: no licence for this machine"),
    "segfault": ("segfault", "attention", "quarantined", "SIGSEGV"),
    "sleeps": ("sleeps", "attention", "quarantined", "did not finish within 1.5 s"),
    "twins": ("twin", "attention", "broken", "claimed by bad-twin-a 1.0 and bad-twin-b 1.0"),
    "unimportable": ("unimportable", "attention", "broken", "No module named 'a_library_that_is_nowhere'"),
}


def test_every_folder_has_its_expectation() -> None:
    assert list(SAYS) == HOW


@pytest.fixture
def run(nanoplug_cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("NANOPLUG_BASE_DIR", str(tmp_path / "base"))
    return nanoplug_cli


def _rows(finished: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert finished.returncode == 0, finished.stderr
    rows: list[dict[str, Any]] = json.loads(finished.stdout)
    return rows


@pytest.mark.parametrize("how", HOW)
def test_one_beside_a_sound_one(how: str, run: Run) -> None:
    """`list` says what is wrong, `show` has the cause, the sound one works, and doctor exits 1."""
    path = (FOLDER / how, FOLDER / "good")
    name, kind, status, says = SAYS[how]
    rows = _rows(run("plugins", "list", "--kind", "attention", "--json", path=path) if kind else run(
        "plugins", "list", "--json", "--no-probe", path=path))  # fmt: skip
    wrong = [row for row in rows if row["name"] == name]
    assert {(row["kind"], row["status"]) for row in wrong} == {(kind, status)}
    assert all(len(row["reasons"]) == 1 and says in row["reasons"][0] for row in wrong)
    assert [row["status"] for row in rows if row["name"] == "good"] == ["ready"]

    shown = run("plugins", "show", name, "--no-probe", path=path)
    assert shown.returncode == 0
    assert says in shown.stdout
    assert run("plugins", "doctor", "--no-probe", path=path).returncode == 1


def test_all_at_once_and_by_name(run: Run) -> None:
    """Each fails by name with its cause in one process that lives on and then uses what is sound."""
    path = tuple(FOLDER / how for how in (*HOW, "good") if how != "heavy")
    script = f"""
import json, nanoplug
from nanoplug.errors import PluginError
said = {{}}
for name in {[SAYS[how][0] for how in HOW if how != "heavy"]!r}:
    try:
        nanoplug.load("attention", name)
    except PluginError as error:
        said[name] = str(error)
said["good"] = type(nanoplug.load("attention", "good")).__module__
said["by id"] = type(nanoplug.load("attention", "bad-twin-b:twin")).__module__
print(json.dumps(said))
"""
    said = _python(script, path)
    for how in HOW:
        name, _, _, says = SAYS[how]
        if how != "heavy":
            assert says in said[name], name
    assert said["good"] == "bad_good.backend"
    assert said["by id"] == "bad_twin_b.backend"


def test_a_heavy_plugin_still_serves(run: Run) -> None:
    script = "import json, nanoplug; print(json.dumps(type(nanoplug.load('attention', 'heavy')).__module__))"
    assert _python(script, (FOLDER / "heavy",)) == "bad_heavy.backend"


def _python(script: str, path: tuple[Path, ...]) -> Any:
    import os
    import sys

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    finished = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=120, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)
