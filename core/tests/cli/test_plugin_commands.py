from __future__ import annotations

from typing import Any

from nanoplug.cli.plugin_commands import collect
from nanoplug.registry.discover import discover

MANIFEST = """
import click
from nanoplug.spec import hookimpl

@hookimpl
def nanoplug_commands(group):
    group.add_command(click.Command({name!r}))
    {more}
"""


def test_of_two_plugins_with_one_command_neither_gets_it(plugin_folder: Any) -> None:
    for package in ("first", "second"):
        plugin_folder.add(package, {"manifest": MANIFEST.format(name="same", more="")})
    plugin_folder.add("third", {"manifest": MANIFEST.format(name="other", more="")})
    commands, problems = collect(discover([str(plugin_folder.path)]), {"train"})
    assert list(commands) == ["other"]
    assert [who for who, _ in problems] == ["first:first", "second:second"]
    assert "first:first and second:second both add it" in problems[0][1]


def test_a_plugin_that_raises_adds_nothing(plugin_folder: Any) -> None:
    plugin_folder.add("ailing", {"manifest": MANIFEST.format(name="half", more="raise SystemExit(3)")})
    commands, problems = collect(discover([str(plugin_folder.path)]), ())
    assert commands == {}
    assert "SystemExit: 3" in problems[0][1]
