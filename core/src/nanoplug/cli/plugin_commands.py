"""Commands that plugins add, each plugin asked alone."""

from __future__ import annotations

from collections.abc import Container

import click

from nanoplug.registry.catalogue import Catalogue


def collect(catalogue: Catalogue, taken: Container[str]) -> tuple[dict[str, click.Command], list[tuple[str, str]]]:
    """Commands by name, and (plugin id, what is wrong) for each that was refused.

    A name in `taken` is refused. Of two plugins that add one name neither gets it: which came first is chance.
    """
    commands: dict[str, click.Command] = {}
    owners: dict[str, list[str]] = {}
    problems: list[tuple[str, str]] = []
    for plugin in catalogue.plugins:
        group = click.Group("nanoplug")
        try:
            plugin.call("nanoplug_commands", group=group)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plugin may raise anything, SystemExit included
            problems.append((plugin.id, f"its commands are left out: {type(error).__name__}: {error}"))
            continue
        for name, command in group.commands.items():
            if name in taken:
                problems.append((plugin.id, f"its command {name!r} is refused: nanoplug has a command of that name"))
            else:
                commands[name] = command
                owners.setdefault(name, []).append(plugin.id)
    for name, ids in owners.items():
        if len(ids) > 1:
            del commands[name]
            problems += [(one, f"its command {name!r} is refused: {' and '.join(ids)} both add it") for one in ids]
    return dict(sorted(commands.items())), problems
