"""`nanoplug train`: every configuration value is a key of the TOML file and a flag."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from nanoplug.config import SITES, Loaded, fields, flatten, load_config, parse_value, read_toml
from nanoplug.errors import ConfigError


def configuration_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds a flag for each key of the configuration, each site, and `--option SITE.KEY=VALUE`."""
    for _, attribute in reversed(list(fields())):
        kind = type(attribute.default)
        name = attribute.name.replace("_", "-")
        declaration = f"--{name}/--no-{name}" if kind is bool else f"--{name}"
        command = click.option(
            declaration,
            attribute.name,
            default=None,
            type=None if kind is bool else kind,
            help=f"{attribute.metadata['doc']} [{_shown(attribute.default)}]",
        )(command)
    for site in reversed(SITES):
        command = click.option(f"--{site}", _parameter(site), metavar="CHOICE", help=f"Backend of {site} [auto].")(
            command
        )
    command = click.option("--attention", _parameter("attention"), metavar="CHOICE", help="Both attention sites.")(
        command
    )
    return click.option(
        "--option", "plugin_options", multiple=True, metavar="SITE.KEY=VALUE", help="Option of a backend; repeatable."
    )(command)


def gather_flags(given: dict[str, Any]) -> dict[str, Any]:
    """Flags that were given, as `load_config` takes them."""
    both = given[_parameter("attention")]
    select = dict.fromkeys(("attention.train", "attention.decode"), both) if both else {}
    select |= {site: given[_parameter(site)] for site in SITES if given[_parameter(site)]}
    flags: dict[str, Any] = {
        name: value
        for name, value in given.items()
        if value is not None and not name.startswith("site_") and name != "plugin_options"
    }
    options: dict[str, dict[str, Any]] = {}
    for text in given["plugin_options"]:
        where, equals, value = text.partition("=")
        site, _, key = where.rpartition(".")
        if not equals or site not in (*SITES, "attention"):
            raise ConfigError(
                f"--option {text!r} does not parse.", todo=f"Write SITE.KEY=VALUE; sites: {', '.join(SITES)}."
            )
        for one in ("attention.train", "attention.decode") if site == "attention" else (site,):
            options.setdefault(one, {})[key] = parse_value(value)
    return {**flags, "select": select, "options": options}


def _parameter(site: str) -> str:
    return "site_" + site.replace(".", "_")


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value) or "none"


@click.command(context_settings={"show_default": False})
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="TOML file; flags override it.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; one that holds a run is gone on with.")
@click.option("--fresh", is_flag=True, help="Remove the run that is there and start over.")
@click.option("--accept-changes", is_flag=True, help="Go on although configuration or parts differ, and record it.")
@click.option("--show-config", is_flag=True, help="Print every value with where it came from, and stop.")
@configuration_flags
def train(
    config_file: Path | None, out: Path | None, fresh: bool, accept_changes: bool, show_config: bool, **given: Any
) -> None:
    """Train a model, or go on with the run in --out.

    CHOICE is auto, a name, DISTRIBUTION:NAME, prefer=A,B or forbid=C. A name must serve, or the run stops and says why.
    """
    tables = read_toml(config_file) if config_file else {}
    loaded = load_config(tables, gather_flags(given), source=str(config_file))
    if show_config:
        _print_config(loaded)
        return
    if out is None:
        raise ConfigError("no run folder is given.", todo="Add --out DIR.")
    from nanoplug.cli.run_training import run_training

    run_training(loaded.config, out, fresh=fresh, accept_changes=accept_changes, console=Console())


def _print_config(loaded: Loaded) -> None:
    rows = [(key, _shown(value), loaded.origins[key]) for key, value in flatten(loaded.config.to_dict())]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for key, value, origin in rows:
        click.echo(f"{key:<{widths[0]}}  {value:<{widths[1]}}  {origin}")
