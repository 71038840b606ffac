from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from typing import Any

import click
import pytest

from nanoplug.cli import main
from nanoplug.cli.main import Lazy, cli
from nanoplug.errors import ConfigError

Run = Callable[..., Any]

COMMAND = """
import click
from nanoplug.spec import hookimpl

@hookimpl
def nanoplug_commands(group):
    @click.command()
    def {name}():
        "Says hello from elsewhere."
        click.echo("hello")

    group.add_command({name})
"""


@click.command()
@click.argument("how")
def failing(how: str) -> None:
    if how == "purpose":
        raise ConfigError("depth is 0.", details=["it must be at least 1"], todo="Give --depth 12.")
    if how == "torch":
        raise ModuleNotFoundError("No module named 'torch'", name="torch")
    raise ModuleNotFoundError("No module named 'own'", name="own")


@pytest.fixture(autouse=True)
def _plugins_of_the_test_alone(monkeypatch: pytest.MonkeyPatch, plugin_folder: Any) -> None:
    module = importlib.import_module("nanoplug.registry.discover")
    found = module.discover
    monkeypatch.setattr(module, "discover", lambda: found([str(plugin_folder.path)]))


def test_help_shows_every_command_and_imports_none(run_here: Run) -> None:
    before = {name for name in sys.modules if name.startswith("nanoplug.cli")}
    result = run_here("--help")
    assert result.exit_code == 0
    for name, lazy in main.COMMANDS.items():
        assert name in result.output
        assert lazy.summary in result.output
    new = {name for name in sys.modules if name.startswith("nanoplug.cli")} - before
    assert new <= {"nanoplug.cli.plugin_commands"}


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_of_the_table_is_there(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert isinstance(command, click.Command)


def test_version_and_help_of_a_command(run_here: Run) -> None:
    assert run_here("--version").output == f"nanoplug {__import__('nanoplug').__version__}\n"
    assert "KIND" in run_here("explain", "--help").output


def test_an_unknown_command_names_the_nearest(run_here: Run) -> None:
    result = run_here("explian")
    assert result.exit_code == 2
    assert "unknown command 'explian'" in result.stderr
    assert "'explain'" in result.stderr


def test_an_error_made_on_purpose_has_no_traceback(run_here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "COMMANDS", {"failing": Lazy(f"{__name__}:failing", "")})
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__, type(sys)(__name__)))
    monkeypatch.setattr(sys.modules[__name__], "failing", failing, raising=False)
    result = run_here("failing", "purpose")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: depth is 0.\n  it must be at least 1\n  Give --depth 12.\n"
    result = run_here("failing", "torch")
    assert result.exit_code == 1
    assert "pip install 'nanoplug[train]'" in result.stderr
    assert isinstance(run_here("failing", "own").exception, ModuleNotFoundError)  # a defect of ours stays visible


def test_a_plugin_adds_a_command(run_here: Run, plugin_folder: Any) -> None:
    plugin_folder.add("greeter", {"manifest": COMMAND.format(name="hello")})
    result = run_here("hello")
    assert (result.exit_code, result.output) == (0, "hello\n")
    help_text = run_here("--help").output
    assert "Commands of plugins" in help_text
    assert "Says hello from elsewhere." in help_text


def test_a_plugin_cannot_take_a_name_and_a_broken_one_harms_none(run_here: Run, plugin_folder: Any) -> None:
    plugin_folder.add("thief", {"manifest": COMMAND.format(name="explain")})
    plugin_folder.add("ailing", {"manifest": COMMAND.format(name="hello").replace("import click\n", "", 1)})
    plugin_folder.add("greeter", {"manifest": COMMAND.format(name="hello")})
    result = run_here("hello")
    assert result.exit_code == 0
    assert result.stdout == "hello\n"
    assert "command 'explain' is refused" in result.stderr
    assert "NameError" in result.stderr
    assert "chosen" in json.loads(run_here("explain", "attention", "--json").stdout)


def test_python_m_nanoplug_is_the_command(nanoplug_cli: Any) -> None:
    finished = nanoplug_cli("plugins", "--help")
    assert finished.returncode == 0
    assert "doctor" in finished.stdout
    finished = nanoplug_cli("explain", "attention", "--on", "sm89")
    assert finished.returncode == 1
    assert finished.stderr.startswith("error: 'sm89'")
    assert "Traceback" not in finished.stderr
