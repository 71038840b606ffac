"""`nanoplug tokenizer encode`, `decode` and `inspect`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nanoplug.cli.tokenizer_folder_options import FOLDER, described, json_flag, opened
from nanoplug.errors import ContractError, DataError

if TYPE_CHECKING:
    from nanoplug.contracts import Tokenizer


@click.command("encode", short_help="Print the ids of a text.")
@click.argument("folder", type=FOLDER)
@click.argument("text", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of ids with their text and bytes.")
def encode(folder: Path, text: str | None, as_json: bool) -> None:
    """Print the ids of TEXT, or of standard input, by the tokenizer in FOLDER."""
    _, tokenizer = opened(folder)
    ids = tokenizer.encode(sys.stdin.buffer.read() if text is None else text)
    if as_json:
        rows = [{"id": id, "text": tokenizer.decode([id]), "bytes": tokenizer.decode_bytes([id]).hex()} for id in ids]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        click.echo(" ".join(map(str, ids)))


@click.command("decode", short_help="Write the bytes of ids.")
@click.argument("folder", type=FOLDER)
@click.argument("ids", nargs=-1)
def decode(folder: Path, ids: Sequence[str]) -> None:
    """Write the bytes of IDS, or of the ids on standard input, to standard output and nothing else."""
    words = ids or sys.stdin.read().split()
    try:
        numbers = [int(word) for word in words]
    except ValueError as error:
        raise ContractError(f"ids are whole numbers: {error}.") from None
    click.echo(opened(folder)[1].decode_bytes(numbers), nl=False)


@click.command("inspect", short_help="Say what a tokenizer is, and count tokens.")
@click.argument("folder", type=FOLDER)
@click.argument("files", nargs=-1, type=FOLDER)
@click.option("--text", default=None, help="Also count the tokens of this text.")
@json_flag
def inspect(folder: Path, files: Sequence[Path], text: str | None, as_json: bool) -> None:
    """Say what the tokenizer in FOLDER is, and how many bytes a token has in each of FILES."""
    _, tokenizer = opened(folder)
    samples = [("--text", text.encode("utf-8"))] if text is not None else []
    samples += [(str(path), _read(path)) for path in files]
    rows = [_measured(tokenizer, name, content) for name, content in samples]
    document = {**described(folder, tokenizer), "samples": rows}
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
