"""`nanoplug tokenizer train` and `import`: a folder that says which plugin reads it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nanoplug.cli.tokenizer_folder_options import FOLDER, described, json_flag, opened, parsed, plugin_options
from nanoplug.errors import DataError

if TYPE_CHECKING:
    from nanoplug.cli.parts import Workshop
    from nanoplug.contracts import Tokenizer
    from nanoplug.registry.piece import Piece


@click.command("train")
@click.option("--data", required=True, type=FOLDER, help="Folder of parquet shards; the validation shard is not read.")
@click.option("--vocab-size", required=True, type=int, help="Number of ids, special ones included.")
@click.option("--out", required=True, type=FOLDER, help="Folder to make.")
@click.option("--tokenizer", "choice", default="auto", show_default=True, metavar="CHOICE", help="Which family.")
@plugin_options
@click.option("--force", is_flag=True, help="Replace a tokenizer that is in --out already.")
@json_flag
def train_tokenizer(
    data: Path, vocab_size: int, out: Path, choice: str, pairs: Sequence[str], force: bool, as_json: bool
) -> None:
    """Train a tokenizer on the training shards of --data."""
    from nanoplug.cli.make_tokenizer import make_tokenizer
    from nanoplug.cli.parts import Workshop
    from nanoplug.data.shards import open_shards, split_shards, texts_of
    from nanoplug.registry.request import Request

    shards = open_shards(split_shards(data)[0])
    made = make_tokenizer(
        Workshop(select={"tokenizer": choice}, options={"tokenizer": parsed(pairs)}),
        Request(trainable=True),
        lambda factory: factory.train(texts_of(shards), vocab_size=vocab_size),
        out,
        rebuild=force,
        on_chosen=_unless(as_json),
    )
    _say_made(out, made, f"{made.vocab_size:,} ids from {shards.documents:,} documents", as_json)


@click.command("import", short_help="Make a folder from somebody else's tokenizer.")
@click.argument("path", type=FOLDER)
@click.option("--out", required=True, type=FOLDER, help="Folder to make.")
@click.option("--tokenizer", "choice", default="auto", show_default=True, metavar="CHOICE", help="Which family.")
@plugin_options
@click.option("--force", is_flag=True, help="Replace a tokenizer that is in --out already.")
@json_flag
def import_tokenizer(path: Path, out: Path, choice: str, pairs: Sequence[str], force: bool, as_json: bool) -> None:
    """Make a tokenizer folder from PATH: a tokenizer that somebody else made, as a file or a folder.

    Which files can be imported depends on the tokenizer plugins that are installed. What it does not keep, such as
    whitespace or case, is said at once; `nanoplug tokenizer verify` finds more.
    """
    from nanoplug.cli.make_tokenizer import make_tokenizer
    from nanoplug.cli.parts import Workshop
    from nanoplug.conformance.trained_tokenizer import TrainedTokenizer
    from nanoplug.registry.request import Request

    workshop = Workshop(select={"tokenizer": choice}, options={"tokenizer": parsed(pairs)})
    request = Request(imports=_file_name(path, workshop)) if choice == "auto" else Request()
    made = make_tokenizer(
        workshop, request, lambda factory: factory.load(path), out, rebuild=force, on_chosen=_unless(as_json)
    )
    _say_made(out, made, f"{made.vocab_size:,} ids from {path}", as_json)
    piece, again = opened(out)
    findings = TrainedTokenizer(again, piece.backend.load).findings([], random=0)
    for finding in findings:
        if not finding.ok:
            click.echo(f"does not hold: {finding.law}: {finding.detail}", err=as_json)


def _file_name(path: Path, workshop: Workshop) -> str:
    """The name of a file, `path` or in it, that a plugin here says it can open."""
    from nanoplug.spec import TokenizerSpec

    if not path.exists():
        raise DataError(f"{path} is not there.", todo="Name a tokenizer's file or folder.")
    specs = [entry.spec for entry in workshop.catalogue.entries("tokenizer")]
    names = [name for spec in specs if isinstance(spec, TokenizerSpec) for name in spec.imports]
    for name in names:
        if (path / name).is_file() if path.is_dir() else path.name == name:
            return name
    what = f"of the files in {path}" if path.is_dir() else f"{path.name} by its name"
    raise DataError(
        f"no tokenizer plugin that is installed opens {what if not path.is_dir() else f'any {what}'}.",
        todo=f"They open {', '.join(sorted(set(names))) or 'none'}; --tokenizer NAME tries the plugin NAME.",
    )


def _unless(as_json: bool) -> Callable[[Piece], None]:
    return lambda piece: None if as_json else click.echo(piece.line())


def _say_made(out: Path, made: Tokenizer, what: str, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(described(out, made), indent=2))
        return
    click.echo(f"{what}, fingerprint {made.fingerprint[:12]}")
    click.echo(f"written to {out}")
