"""`nanoplug new-plugin`: a package that keeps the laws of its kind at once, to be made one's own."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from email.utils import parseaddr
from pathlib import Path
from string import Template

import click

from nanoplug.errors import ConfigError, PluginError
from nanoplug.registry.discover import discover
from nanoplug.registry.well_formed import faults
from nanoplug.spec import KINDS, Spec
from nanoplug.whole_files import new_folder

TEMPLATES = Path(__file__).parents[1] / "templates"
SUFFIX = ".template"
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_IMPLEMENTATION = {
    "attention": "attention.py",
    "kernel": "kernel.py",
    "tokenizer": "tokenizer.py",
    "device": "device.py",
}


@click.command("new-plugin")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write [./nanoplug-KIND-NAME].")
@click.option("--author", default="", metavar="TEXT", help="Who wrote it: 'NAME' or 'NAME <MAIL>'.")
def new_plugin(kind: str, name: str, out: Path | None, author: str) -> None:
    """Write a package with a backend NAME of KIND that passes `nanoplug verify` at once.

    It is plain and slow; its README says what to replace first. NAME is in lower case, such as foo or foo_2.
    """
    check_name(kind, name)
    folder = out or Path(distribution_name(kind, name))
    written = write_plugin(kind, name, folder, author=author)
    click.echo(f"wrote {folder}")
    for path in written:
        click.echo(f"  {path}")
    module = f"src/{package_name(kind, name)}/{_IMPLEMENTATION[kind]}"
    click.echo("next")
    click.echo(f"  pip install --editable {folder}")
    click.echo(f"  nanoplug verify {kind} {name}")
    click.echo(f"  then make {folder / module} your own; {folder / 'README.md'} says in which order")


def distribution_name(kind: str, name: str) -> str:
    return f"nanoplug-{kind}-{name.replace('_', '-')}"


def package_name(kind: str, name: str) -> str:
    return f"nanoplug_{kind}_{name}"


def check_name(kind: str, name: str) -> None:
    """Raise ConfigError unless `name` can name a backend and a package, PluginError if something here has it."""
    todo = "Use lower-case letters, digits and single underscores, a letter first, such as foo or foo_2."
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} cannot name a plugin.", todo=todo)
    for fault in faults(Spec(name=name, summary="", load="module:object")):
        raise ConfigError(f"{name!r} cannot name a plugin: {fault}.", todo="Choose another name.")
    for entry in discover().named(kind, name):
        raise PluginError(
            f"{kind} {name!r} is taken: {entry.distribution} {entry.version} is installed and has it.",
            todo="Choose another name, or uninstall that distribution.",
        )
    package = package_name(kind, name)
    if importlib.util.find_spec(package) is not None:
        raise PluginError(
            f"a package {package} is installed already.", todo="Choose another name, or uninstall that package."
        )


def write_plugin(kind: str, name: str, folder: Path, *, author: str = "") -> list[str]:
    """Write the package into `folder`, whole or not at all; its files, as paths in it.

    Raises NanoplugError if `folder` exists, ConfigError if it cannot be written.
    """
    values = _values(kind, name, author)
    folder = folder.absolute()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with new_folder(folder) as made:
            for path, text in _filled(kind, values):
                target = made / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8")
            return sorted(path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file())
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error}.", todo="Give --out another folder.") from error


def _values(kind: str, name: str, author: str) -> dict[str, str]:
    needed = ["nanoplug>=1,<2"] if kind == "tokenizer" else ["nanoplug>=1,<2", "torch>=2.9"]
    return {
        "kind": kind,
        "name": name,
        "stem": "".join(part.capitalize() for part in name.split("_")),
        "distribution": distribution_name(kind, name),
        "package": package_name(kind, name),
        "laws": f"{kind.capitalize()}Laws",
        "dependencies": ", ".join(map(json.dumps, needed)),
        "authors": _authors(author),
    }


def _authors(author: str) -> str:
    """The `authors` line of a pyproject.toml, or nothing."""
    if not author.isprintable():
        raise ConfigError(f"the author {author!r} must be one line of text.")
    name, mail = parseaddr(author) if "<" in author else (author, "")
    given = {key: value.strip() for key, value in (("name", name), ("email", mail)) if value.strip()}
    # Printable text in JSON is a string of TOML.
    pairs = ", ".join(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in given.items())
    return f"authors = [{{ {pairs} }}]\n" if pairs else ""


def _filled(kind: str, values: dict[str, str]) -> Iterator[tuple[str, str]]:
    """(path, text) of each file: the templates of every plugin, then those of `kind`."""
    for folder in (TEMPLATES / "any", TEMPLATES / kind):
        for template in folder.rglob(f"*{SUFFIX}"):
            path = template.relative_to(folder).as_posix().replace("__package__", values["package"])
            text = Template(template.read_text(encoding="utf-8")).substitute(values)
            yield path.removesuffix(SUFFIX), text
