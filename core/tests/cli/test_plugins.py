from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nanoplug.cli import plugins as module

Run = Callable[..., Any]
OPTIONS = "@frozen(kw_only=True)\nclass Options:\n    rows: int = 4096\n"


@pytest.fixture
def run(plugin_folder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_here: Run) -> Run:
    """Runs a command that sees the plugins of the test alone, with a base folder of its own."""
    found = module.discover
    monkeypatch.setattr(module, "discover", lambda: found([str(plugin_folder.path)]))
    monkeypatch.setenv("NANOPLUG_BASE_DIR", str(tmp_path / "base"))
    return run_here


@pytest.fixture
def mixed(plugin_folder: Any) -> None:
    plugin_folder.add_backend("well", "options=Options, head_dims=range(16, 257, 16)", manifest=OPTIONS)
    plugin_folder.add_backend("elsewhere", "needs=Needs(platforms='plan9')", kind="kernel")
    plugin_folder.add_backend("deadly", backend="import os; os._exit(7)")
    plugin_folder.add("ailing", {"manifest": "raise RuntimeError('no licence')"})


@pytest.mark.usefixtures("mixed")
def test_list_as_json_keeps_to_its_contract(run: Run) -> None:
    result = run("plugins", "list", "--json")
    assert result.exit_code == 0
    rows = json.loads(result.stdout)
    assert all(
        list(row) == ["kind", "name", "id", "distribution", "version", "api", "status", "reasons"] for row in rows
    )
    assert [(row["kind"], row["name"], row["status"], len(row["reasons"])) for row in rows] == [
        ("attention", "deadly", "quarantined", 1),
        ("attention", "well", "ready", 0),
        ("kernel", "elsewhere", "unavailable", 1),
        ("", "ailing", "broken", 1),
    ]
    assert "first load of attention deadly, attention well, in a child process" in result.stderr
    assert run("plugins", "list", "--json").stderr == ""


@pytest.mark.usefixtures("mixed")
def test_list_as_a_table(run: Run) -> None:
    lines = run("plugins", "list").stdout.splitlines()
    assert lines[0].split() == ["kind", "name", "status", "from", "why"]
    assert lines[1].split()[:5] == ["attention", "deadly", "quarantined", "deadly", "1.0"]
    assert "exit status 7" in lines[1]
    assert lines[2].split() == ["attention", "well", "ready", "well", "1.0"]
    assert [line.split()[1] for line in run("plugins", "list", "--kind", "kernel").stdout.splitlines()] == [
        "name",
        "elsewhere",
    ]


@pytest.mark.usefixtures("mixed")
def test_no_probe_loads_nothing(run: Run) -> None:
    result = run("plugins", "list", "--json", "--no-probe")
    assert result.stderr == ""
    assert {row["name"]: row["status"] for row in json.loads(result.stdout)}["deadly"] == "broken"


@pytest.mark.usefixtures("mixed")
def test_show_has_the_whole_cause(run: Run) -> None:
    shown = run("plugins", "show", "ailing").stdout
    assert "broken" in shown
    assert "Traceback" in shown
    assert "RuntimeError: no licence" in shown
    (row,) = json.loads(run("plugins", "show", "well", "--json").stdout)
    assert row["load"] == "well.backend:Backend"
    assert row["capabilities"]["head_dims"] == "16..256 step 16"
    assert row["options"] == {"rows": "int = 4096"}
    assert "rows" in run("plugins", "show", "well:well").stdout


@pytest.mark.usefixtures("mixed")
def test_show_of_nothing_names_the_nearest(run: Run) -> None:
    result = run("plugins", "show", "wel")
    assert result.exit_code == 1
    assert "did you mean 'well'" in result.stderr


def test_doctor_of_a_sound_installation(run: Run, plugin_folder: Any) -> None:
    plugin_folder.add_backend("well")
    plugin_folder.add_backend("elsewhere", "needs=Needs(platforms='plan9')", kind="kernel")
    result = run("plugins", "doctor", "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["ok"] is True
    assert {"attention well:well", "kernel elsewhere:elsewhere"} <= {check["name"] for check in document["checks"]}


@pytest.mark.parametrize("how", ["broken", "quarantined", "duplicate", "heavy", "command"])
def test_doctor_exits_1_for_what_is_wrong(run: Run, plugin_folder: Any, how: str) -> None:
    plugin_folder.add_backend("well")
    if how == "broken":
        plugin_folder.add("ailing", {"manifest": "raise RuntimeError"})
    elif how == "quarantined":
        plugin_folder.add_backend("ailing", backend="import os; os._exit(7)")
    elif how == "duplicate":
        plugin_folder.add_backend("ailing", "name='well'")
    elif how == "heavy":
        plugin_folder.add_backend("ailing", manifest="import numpy")
    else:
        text = "from nanoplug.spec import hookimpl\n@hookimpl\ndef nanoplug_commands(group): raise RuntimeError"
        plugin_folder.add("ailing", {"manifest": text})
    result = run("plugins", "doctor")
    assert result.exit_code == 1
    assert any(line.startswith("WRONG") and "ailing" in line for line in result.stdout.splitlines())


def test_doctor_loads_quarantined_ones_again_when_told(run: Run, plugin_folder: Any, tmp_path: Path) -> None:
    flag = tmp_path / "mended"
    text = f"import os\nif not os.path.exists({str(flag)!r}): os._exit(7)\nclass Backend: pass"
    plugin_folder.add_backend("shaky", backend=text)
    assert run("plugins", "doctor").exit_code == 1
    flag.touch()
    assert run("plugins", "doctor").exit_code == 1
    assert run("plugins", "doctor", "--again").exit_code == 0
    assert run("plugins", "doctor").exit_code == 0


def test_limit_is_the_time_of_a_first_load(run: Run, plugin_folder: Any) -> None:
    plugin_folder.add_backend("slow", backend="import time; time.sleep(1000)")
    (row,) = json.loads(run("plugins", "list", "--json", "--limit", "0.5").stdout)
    assert row["status"] == "quarantined"
    assert "0.5 s" in row["reasons"][0]
    assert run("plugins", "list", "--limit", "0").exit_code == 2
