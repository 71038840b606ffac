"""What the commands on a tokenizer's folder share: opening it, describing it, and options of its plugin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nanoplug.config import parse_value
from nanoplug.errors import ConfigError

if TYPE_CHECKING:
    from nanoplug.contracts import Tokenizer
    from nanoplug.registry.piece import Piece

FOLDER = click.Path(path_type=Path)
plugin_options = click.option(
    "--option", "pairs", multiple=True, metavar="KEY=VALUE", help="Option of its plugin; repeatable."
)
json_flag = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def opened(folder: Path, options: Mapping[str, Any] | None = None) -> tuple[Piece, Tokenizer]:
    """The tokenizer in `folder`, and the plugin that its manifest names, loaded with `options`."""
    from nanoplug.cli.parts import Workshop, resolve_tokenizer

    workshop = Workshop(select={"tokenizer": "auto"}, options={"tokenizer": options or {}})
    return resolve_tokenizer(workshop, folder)


def described(folder: Path, tokenizer: Tokenizer) -> dict[str, Any]:
    from nanoplug.data.tokenizer_folder import read_manifest

    manifest = read_manifest(folder)
    return {
        "folder": str(folder),
        "plugin": manifest.plugin_id,
        "version": manifest.version,
        "vocab_size": tokenizer.vocab_size,
        "fingerprint": tokenizer.fingerprint,
        "special": dict(tokenizer.special),
    }


def parsed(pairs: Sequence[str], *, flag: str = "--option") -> dict[str, Any]:
    """Options from `KEY=VALUE`. Raises ConfigError where there is no `=`."""
    options: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"{flag} {pair!r} does not parse.", todo="Write KEY=VALUE.")
        options[key] = parse_value(value)
    return options
