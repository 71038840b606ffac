"""`nanoplug plugins`: what is installed, whether it can be used here, and if not, why."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import click

from nanoplug.cli import main
from nanoplug.cli.plugin_commands import collect
from nanoplug.errors import PluginError, nearest
from nanoplug.registry.catalogue import Catalogue
from nanoplug.registry.discover import discover
from nanoplug.registry.doctor import check
from nanoplug.registry.machine import Machine
from nanoplug.registry.piece import capabilities
from nanoplug.registry.rows import Row, rows
from nanoplug.registry.verdicts import Subject, Verdicts
from nanoplug.spec import KINDS

_COLOURS = {"ready": "green", "unavailable": "yellow", "broken": "red", "quarantined": "red"}
_Command = Callable[..., Any]


def _asking(command: _Command) -> _Command:
    """The options that all three commands have."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option(
            "--no-probe", is_flag=True, help="Do not load backends in a child process that never were loaded."
        ),
        click.option(
            "--limit", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Time of a first load."
        ),
    ):
        command = option(command)
    return command


@click.group()
def plugins() -> None:
    """List, show and check what is installed."""


@plugins.command("list")
@click.option("--kind", type=click.Choice(KINDS), help="Only backends of this kind.")
@_asking
def list_plugins(kind: str | None, as_json: bool, no_probe: bool, limit: float | None) -> None:
    """One line for each backend: its status and why.

    A backend that was never loaded is loaded once in a child process, and what came of it is remembered.
    """
    found = rows(discover(), Machine.here(), Verdicts(), kind=kind, may_probe=not no_probe, limit_s=limit)
    if as_json:
        click.echo(json.dumps([row.to_dict() for row in found], indent=2))
        return
    for line in _table(found):
        click.echo(line)


@plugins.command("show")
@click.argument("name")
@_asking
def show_plugin(name: str, as_json: bool, no_probe: bool, limit: float | None) -> None:
    """All about NAME, with the whole cause of what is wrong.

    NAME is a backend, DISTRIBUTION:NAME, a plugin or a distribution.
    """
    catalogue, machine, verdicts = discover(), Machine.here(), Verdicts()
    wanted = _ids(catalogue, name)
    found = [
        row
        for row in rows(catalogue, machine, verdicts, may_probe=not no_probe, limit_s=limit)
        if (row.kind, row.id) in wanted
    ]
    if as_json:
        shown = [{**row.to_dict(), "causes": list(row.causes), **_declared(catalogue, row)} for row in found]
        click.echo(json.dumps(shown, indent=2))
        return
    for row in found:
        click.echo(f"{row.kind or 'plugin'} {row.name}: {_coloured(row.status)}, from {row.distribution} {row.version}")
        for reason in row.reasons:
            click.echo(f"  {reason}")
        for key, value in _declared(catalogue, row).items():
            click.echo(f"  {key:<14} {value if isinstance(value, str) else json.dumps(value)}")
        for cause in row.causes:
            click.echo("  cause:\n" + "\n".join(f"    {line}" for line in cause.splitlines()))


@plugins.command("doctor")
@click.option("--again", is_flag=True, help="Load every backend in a child process again, quarantined ones too.")
@_asking
def doctor(again: bool, as_json: bool, no_probe: bool, limit: float | None) -> None:
    """Check this installation; exit 1 if anything in it is wrong.

    A backend that this machine does not fit is not wrong.
    """
    catalogue, machine, verdicts = discover(), Machine.here(), Verdicts()
    if again:
        verdicts.forget(Subject.of(entry, machine) for entry in catalogue.entries())
    _, refused = collect(catalogue, main.COMMANDS)
    found = rows(catalogue, machine, verdicts, may_probe=not no_probe, limit_s=limit)
    checks = check(found, machine, verdicts.path.parent, refused)
    ok = all(one.ok for one in checks)
    if as_json:
        click.echo(json.dumps({"ok": ok, "checks": [attrs.asdict(one) for one in checks]}, indent=2))
    else:
        width = max(len(one.name) for one in checks)
        for one in checks:
            mark = click.style("ok   ", fg="green") if one.ok else click.style("WRONG", fg="red")
            click.echo(f"{mark}  {one.name:<{width}}  {one.detail}")
    if not ok:
        click.get_current_context().exit(1)


def _ids(catalogue: Catalogue, name: str) -> set[tuple[str, str]]:
    """(kind, id) of the rows that `name` means; the kind is empty for a plugin without backends."""
    wanted = set()
    known = set()
    for plugin in catalogue.plugins:
        own = (plugin.name, plugin.distribution, plugin.id)
        known |= {*own, *(alias for entry in plugin.entries for alias in (entry.name, entry.id))}
        if not plugin.entries and name in own:
            wanted.add(("", plugin.id))
        wanted |= {(entry.kind, entry.id) for entry in plugin.entries if entry.answers_to(name)}
        wanted |= {(entry.kind, entry.id) for entry in plugin.entries if name in own and name != entry.name}
    if not wanted:
        raise PluginError(
            f"nothing installed is called {name!r}{nearest(name, known)}.", todo="See `nanoplug plugins list`."
        )
    return wanted


def _declared(catalogue: Catalogue, row: Row) -> dict[str, Any]:
    """What the backend's spec says, as plain values; nothing for a plugin that gave none."""
    for entry in catalogue.entries(row.kind) if row.kind else ():
        if entry.id == row.id:
            spec = entry.spec
            needs = {
                key: list(value) if isinstance(value, tuple) else value
                for key, value in attrs.asdict(spec.needs).items()
            }
            options = (
                {
                    one.name: f"{getattr(one.type, '__name__', one.type)} = {one.default!r}"
                    for one in attrs.fields(spec.options)
                }
                if spec.options
                else {}
            )
            return {
                "summary": spec.summary,
                "load": spec.load,
                "rank": spec.rank,
                "needs": {key: value for key, value in needs.items() if value},
                "options": options,
                "capabilities": capabilities(spec),
            }
    return {}


def _table(found: Sequence[Row]) -> list[str]:
    head = ("kind", "name", "status", "from", "why")
    body = [
        (row.kind or "(plugin)", row.name, row.status, f"{row.distribution} {row.version}", "; ".join(row.reasons))
        for row in found
    ]
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    lines = []
    for cells in (head, *body):
        padded = [cell.ljust(width) for cell, width in zip(cells[:-1], widths[:-1], strict=True)]
        padded[2] = _coloured(padded[2])
        lines.append("  ".join((*padded, cells[-1])).rstrip())
    return lines


def _coloured(status: str) -> str:
    return click.style(status, fg=_COLOURS.get(status.strip()))
