"""A trained tokenizer on disk: the plugin's own files, and `manifest.json` that says which plugin reads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from nanoplug import whole_files
from nanoplug.contracts import Tokenizer, TokenizerFactory
from nanoplug.errors import DataError

MANIFEST_NAME = "manifest.json"
_FORMAT = 1
_TODO = "Train a tokenizer with `nanoplug tokenizer train`, or name another folder."


@frozen(kw_only=True)
class TokenizerManifest:
    """plugin_id: the plugin that reads the folder, `distribution:name`. distribution, version: what wrote it."""

    plugin_id: str
    distribution: str
    version: str
    fingerprint: str
    vocab_size: int


def save_tokenizer(tokenizer: Tokenizer, folder: Path, *, plugin_id: str, distribution: str, version: str) -> None:
    """Write the tokenizer into `folder`, the manifest last: a folder with a manifest is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST_NAME).unlink(missing_ok=True)
    tokenizer.save(folder)
    manifest = TokenizerManifest(
        plugin_id=plugin_id,
        distribution=distribution,
        version=version,
        fingerprint=tokenizer.fingerprint,
        vocab_size=tokenizer.vocab_size,
    )
    content = {"format": _FORMAT, **attrs.asdict(manifest)}
    whole_files.write_text(folder / MANIFEST_NAME, json.dumps(content, indent=2) + "\n")


def read_manifest(folder: Path) -> TokenizerManifest:
    """What `folder` says about itself. Raises DataError if it is no tokenizer folder, or damaged."""
    path = folder / MANIFEST_NAME
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; it should hold a tokenizer.", todo=_TODO)
    try:
        content: Any = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise DataError(f"{folder} holds no {MANIFEST_NAME}, so no whole tokenizer.", todo=_TODO) from None
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}.", todo=_TODO) from error
    fields = {name: int if name == "vocab_size" else str for name in attrs.fields_dict(TokenizerManifest)}
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise DataError(f"{path} is not a tokenizer's manifest of format {_FORMAT}.", todo=_TODO)
    wrong = [name for name, kind in fields.items() if not isinstance(content.get(name), kind)]
    if wrong:
        raise DataError(f"{path} is damaged: {', '.join(wrong)} is missing or of another type.", todo=_TODO)
    return TokenizerManifest(**{name: content[name] for name in fields})


def open_tokenizer(folder: Path, factory_for: Callable[[str], TokenizerFactory]) -> Tokenizer:
    """The tokenizer in `folder`. factory_for: gives the backend of the plugin id that the manifest names.

    Raises DataError if the folder is missing or damaged, or what is loaded is not what the manifest states.
    """
    manifest = read_manifest(folder)
    tokenizer = factory_for(manifest.plugin_id).load(folder)
    for name in ("fingerprint", "vocab_size"):
        stated, found = getattr(manifest, name), getattr(tokenizer, name)
        if stated != found:
            raise DataError(
                f"{folder}: the manifest states {name} {stated}, but {manifest.plugin_id} loads {found}.",
                todo="The files were changed, or the plugin reads them differently since it was upgraded; train again.",
            )
    return tokenizer
