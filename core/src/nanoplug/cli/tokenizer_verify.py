"""`nanoplug tokenizer verify`: one tokenizer, as it was trained or imported, against the laws."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args, get_type_hints

import click

from nanoplug.cli.tokenizer_folder_options import FOLDER, described, json_flag, opened, parsed
from nanoplug.errors import DataError, PluginError

if TYPE_CHECKING:
    from nanoplug.contracts import Tokenizer
    from nanoplug.registry.piece import Piece

ENGINE = "engine"


@click.command("verify", short_help="Prove a tokenizer on files and random bytes.")
@click.argument("folder", type=FOLDER)
@click.argument("files", nargs=-1, type=FOLDER)
@click.option("--random", default=10_000, show_default=True, type=click.IntRange(min=0), help="Random byte strings.")
@click.option("--seed", default=0, show_default=True, type=int, help="Of the random byte strings.")
@click.option("--threads", default=2, show_default=True, type=click.IntRange(min=1), help="Threads for batches.")
@click.option(
    "--against",
    multiple=True,
    metavar="KEY=VALUE",
    help="Open it again with this option of its plugin: the ids must be the same; repeatable. Engines that the plugin"
    " names are all compared anyway.",
)
@json_flag
def verify_tokenizer(
    folder: Path,
    files: Sequence[Path],
    random: int,
    seed: int,
    threads: int,
    against: Sequence[str],
    as_json: bool,
) -> None:
    """Prove the tokenizer in FOLDER: on FILES (folders are searched for all their files), and on random bytes.

    What was encoded must come back byte for byte, the bytes of its tokens must add up, text must never yield special
    ids, and a batch, a copy from disk and every engine must give the same ids. Exit status 1 if one does not hold.
    """
    from nanoplug.conformance.trained_tokenizer import TrainedTokenizer

    piece, tokenizer = opened(folder)
    engines = _others(folder, piece, against)
    under_test = TrainedTokenizer(tokenizer, piece.backend.load, engines=engines, threads=threads)
    findings = under_test.findings(contents(files), random=random, seed=seed)
    passed = all(finding.ok for finding in findings)
    if as_json:
        rows = [{"law": one.law, "ok": one.ok, "detail": one.detail} for one in findings]
        click.echo(json.dumps({**described(folder, tokenizer), "passed": passed, "laws": rows}, indent=2))
    else:
        for one in findings:
            click.echo(f"{'ok' if one.ok else 'BROKEN':<7} {one.law:<35} {one.detail}")
        size = f"{tokenizer.vocab_size:,} ids, fingerprint {tokenizer.fingerprint[:12]}"
        click.echo(f"{'PASSED' if passed else 'FAILED'}  {folder}: {piece.name}, {size}")
    if not passed:
        sys.exit(1)


def _others(folder: Path, piece: Piece, against: Sequence[str]) -> Mapping[str, Tokenizer]:
    """The same folder opened with each of the other options; an engine that was not asked for may be missing."""
    found: dict[str, Tokenizer] = {}
    for pair in against:
        found[pair] = opened(folder, parsed([pair], flag="--against"))[1]
    for name in _engines(piece):
        what = f"{ENGINE}={name}"
        if what in found or piece.options.get(ENGINE) == name:
            continue
        try:
            found[what] = opened(folder, {ENGINE: name})[1]
        except PluginError as error:
            click.echo(f"left out: {what}: {error.message}", err=True)
    return found


def _engines(piece: Piece) -> Sequence[str]:
    """What the plugin's option `engine` may be, where it has one of a `Literal` type."""
    from nanoplug.registry.discover import discover

    (entry,) = discover().named("tokenizer", piece.id)
    hints = get_type_hints(entry.spec.options) if entry.spec.options else {}
    return get_args(hints.get(ENGINE))


def contents(paths: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    """Path and content of each file; folders are searched for all their files."""
    for path in paths:
        for file in _files(path):
            try:
                yield str(file), file.read_bytes()
            except OSError as error:
                raise DataError(f"{file} cannot be read: {error.strerror}.", todo="Name files or folders.") from error


def _files(path: Path) -> Iterator[Path]:
    """The file, or all regular files below the folder, in one order everywhere; links to folders are not followed."""
    if not path.is_dir():
        yield path
        return
    for root, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            file = Path(root) / name
            if file.is_file():
                yield file
