"""`nanoplug tokenizer`: train one, use it, look at it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nanoplug.config import parse_value
from nanoplug.errors import ConfigError, ContractError, DataError

if TYPE_CHECKING:
    from nanoplug.contracts import Tokenizer

_FOLDER = click.Path(path_type=Path)


@click.group()
def tokenizer() -> None:
    """Train a tokenizer, or look at one."""


@tokenizer.command("train")
@click.option("--data", required=True, type=_FOLDER, help="Folder of parquet shards; the validation shard is not read.")
@click.option("--vocab-size", required=True, type=int, help="Number of ids, special ones included.")
@click.option("--out", required=True, type=_FOLDER, help="Folder to make.")
@click.option("--tokenizer", "choice", default="auto", show_default=True, metavar="CHOICE", help="Which family.")
@click.option("--option", "pairs", multiple=True, metavar="KEY=VALUE", help="Option of that family; repeatable.")
@click.option("--force", is_flag=True, help="Replace a tokenizer that is in --out already.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def train_tokenizer(
    data: Path, vocab_size: int, out: Path, choice: str, pairs: Sequence[str], force: bool, as_json: bool
) -> None:
    """Train a tokenizer on the training shards of --data."""
    from nanoplug.cli.parts import Workshop
    from nanoplug.data.made_folder import made_folder
    from nanoplug.data.shards import open_shards, split_shards, texts_of
    from nanoplug.data.tokenizer_folder import MANIFEST_NAME, save_tokenizer
    from nanoplug.registry.request import Request

    shards = open_shards(split_shards(data)[0])
    workshop = Workshop(select={"tokenizer": choice}, options={"tokenizer": _options(pairs)})
    with made_folder(out, mark=MANIFEST_NAME, rebuild=force) as folder:
        piece = workshop.resolve("tokenizer", Request(trainable=True))
        if not as_json:
            click.echo(piece.line())
        made = piece.backend.train(texts_of(shards), vocab_size=vocab_size)
        save_tokenizer(made, folder, plugin_id=piece.id, distribution=piece.distribution, version=piece.version)
    if as_json:
        click.echo(json.dumps(_described(out, made), indent=2))
        return
    click.echo(f"{made.vocab_size:,} ids from {shards.documents:,} documents, fingerprint {made.fingerprint[:12]}")
    click.echo(f"written to {out}")


@tokenizer.command("encode")
@click.argument("folder", type=_FOLDER)
@click.argument("text", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of ids with their bytes.")
def encode(folder: Path, text: str | None, as_json: bool) -> None:
    """Print the ids of TEXT, or of standard input, by the tokenizer in FOLDER."""
    opened = _opened(folder)
    ids = opened.encode(sys.stdin.buffer.read() if text is None else text)
    if as_json:
        rows = [{"id": id, "text": opened.decode([id])} for id in ids]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        click.echo(" ".join(map(str, ids)))


@tokenizer.command("decode")
@click.argument("folder", type=_FOLDER)
@click.argument("ids", nargs=-1)
def decode(folder: Path, ids: Sequence[str]) -> None:
    """Write the bytes of IDS, or of the ids on standard input, to standard output and nothing else."""
    words = ids or sys.stdin.read().split()
    try:
        numbers = [int(word) for word in words]
    except ValueError as error:
        raise ContractError(f"ids are whole numbers: {error}.") from None
    click.echo(_opened(folder).decode_bytes(numbers), nl=False)


@tokenizer.command("inspect")
@click.argument("folder", type=_FOLDER)
@click.argument("files", nargs=-1, type=_FOLDER)
@click.option("--text", default=None, help="Also count the tokens of this text.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(folder: Path, files: Sequence[Path], text: str | None, as_json: bool) -> None:
    """Say what the tokenizer in FOLDER is, and how many bytes a token has in each of FILES."""
    opened = _opened(folder)
    samples = [("--text", text.encode("utf-8"))] if text is not None else []
    samples += [(str(path), _read(path)) for path in files]
    rows = [_measured(opened, name, content) for name, content in samples]
    document = {**_described(folder, opened), "samples": rows}
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    for name in ("plugin", "version", "vocab_size", "fingerprint"):
        click.echo(f"{name:<12} {document[name]}")
    click.echo(f"{'special':<12} {' '.join(f'{name}={id}' for name, id in document['special'].items())}")
    for row in rows:
        back = "" if row["lossless"] else "  does not come back as it was"
        counts = f"{row['bytes']:,} bytes, {row['tokens']:,} tokens"
        click.echo(f"{row['bytes_per_token']:>6.2f} bytes a token  {counts}  {row['name']}{back}")


def _opened(folder: Path) -> Tokenizer:
    from nanoplug.cli.parts import Workshop, resolve_tokenizer

    return resolve_tokenizer(Workshop(select={"tokenizer": "auto"}, options={}), folder)[1]


def _described(folder: Path, tokenizer: Tokenizer) -> dict[str, Any]:
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


def _measured(tokenizer: Tokenizer, name: str, content: bytes) -> dict[str, Any]:
    ids = tokenizer.encode(content)
    return {
        "name": name,
        "bytes": len(content),
        "tokens": len(ids),
        "bytes_per_token": len(content) / len(ids) if ids else 0.0,
        "lossless": tokenizer.decode_bytes(ids) == content,
    }


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", todo="Name a file.") from error


def _options(pairs: Sequence[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"--option {pair!r} does not parse.", todo="Write KEY=VALUE.")
        options[key] = parse_value(value)
    return options
