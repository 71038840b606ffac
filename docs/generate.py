"""Pages that are made while the documentation is built, so that they cannot be out of date.

A page says `<!-- generated: NAME -->` where the text of `GENERATED[NAME]` goes; each README of a plugin becomes a page.
mkdocs loads this file as a hook.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

from nanoplug.cli.main import COMMANDS, Cli
from nanoplug.cli.main import cli as root
from nanoplug.config import SECTIONS, SITES
from nanoplug.registry.discover import discover
from nanoplug.spec import KINDS

REPOSITORY = Path(__file__).parent.parent
_MARK = re.compile(r"<!-- generated: (\w+) -->")
_RELATIVE_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|#)[^)]*\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds a page for each README of a plugin."""
    for readme in sorted(REPOSITORY.glob("plugins/*/*/README.md")):
        # Its links point into the repository, which the site does not hold.
        text = _RELATIVE_LINK.sub(r"\1", readme.read_text(encoding="utf-8"))
        files.append(File.generated(config, _readme_page(readme), content=text))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: MkDocsConfig, files: Files) -> str:
    """Fills in what is generated."""

    def text(mark: re.Match[str]) -> str:
        if mark[1] not in GENERATED:
            raise PluginError(f"{page.file.src_uri}: nothing generates {mark[1]!r}; there is {', '.join(GENERATED)}")
        return GENERATED[mark[1]]()

    return _MARK.sub(text, markdown)


def configuration() -> str:
    """Every key of the configuration file, a table for each of its tables."""
    lines = []
    for section, cls in SECTIONS.items():
        lines += [f"### `[{section}]`", ""]
        if cls.__doc__:
            lines += [cls.__doc__, ""]
        lines += ["| key | flag | default | meaning |", "| --- | --- | --- | --- |"]
        for key in attrs.fields(cls):
            flag = key.name.replace("_", "-")
            flags = f"`--{flag}` / `--no-{flag}`" if isinstance(key.default, bool) else f"`--{flag}`"
            lines.append(f"| `{key.name}` | {flags} | {_value(key.default)} | {_cell(key.metadata['doc'])} |")
        lines.append("")
    lines += ["### `[select]` and `[options]`", "", "Sites: " + ", ".join(f"`{site}`" for site in SITES) + "."]
    return "\n".join(lines)


def commands() -> str:
    """The `--help` of every command, and of the commands in a group."""
    context = click.Context(root, info_name="nanoplug")
    lines = []
    for name, command in _own_commands(root, context):
        help_text = command.get_help(click.Context(command, info_name=name, parent=context, max_content_width=100))
        lines += [f"## `nanoplug {name}`", "", "```text", help_text, "```", ""]
    return "\n".join(lines)


def backends() -> str:
    """A table of the backends of this repository for each kind, from their manifests."""
    catalogue = discover()
    pages = {_distribution(readme): _readme_page(readme) for readme in REPOSITORY.glob("plugins/*/*/README.md")}
    lines = []
    for kind in KINDS:
        lines += [f"## {kind.capitalize()}", "", "| name | rank | what | distribution |", "| --- | --- | --- | --- |"]
        for entry in sorted(catalogue.entries(kind), key=lambda one: (-one.spec.rank, one.name)):
            if entry.distribution in pages:
                link = f"[{entry.distribution}]({pages[entry.distribution]})"
                lines.append(f"| `{entry.name}` | {entry.spec.rank} | {_cell(entry.spec.summary)} | {link} |")
        lines.append("")
    return "\n".join(lines)


GENERATED: Mapping[str, Callable[[], str]] = {
    "configuration": configuration,
    "commands": commands,
    "backends": backends,
}


def _own_commands(group: click.Group, context: click.Context, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """(name, command) of what nanoplug itself brings, those of groups after their group."""
    for name in COMMANDS if isinstance(group, Cli) else group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield prefix + name, command
        if isinstance(command, click.Group):
            yield from _own_commands(command, context, f"{prefix}{name} ")


def _readme_page(readme: Path) -> str:
    return f"plugins/{readme.parent.parent.name}_{readme.parent.name}.md"


def _distribution(readme: Path) -> str:
    text = (readme.parent / "pyproject.toml").read_text(encoding="utf-8")
    named = re.search(r'^name = "([^"]+)"', text, re.MULTILINE)
    return named[1] if named else ""


def _value(value: object) -> str:
    if value == "":
        return "(none)"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
