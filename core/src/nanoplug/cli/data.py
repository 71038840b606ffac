"""`nanoplug data`: training shards from a tree of C++."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from nanoplug.cli.data_tokenize import tokenize
from nanoplug.cli.index import index


@click.group()
def data() -> None:
    """Make training shards from a tree of C++, or look at some."""


data.add_command(tokenize)
data.add_command(index)


@data.command("build")
@click.option(
    "--source",
    "sources",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder with C or C++ source code; repeatable. Default: the headers inside the installed torch package.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to make.")
@click.option("--val-fraction", default=0.05, show_default=True, help="Share of the files held out for validation.")
@click.option("--force", is_flag=True, help="Replace what this command made in --out before.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def build(sources: Sequence[Path], out: Path, val_fraction: float, force: bool, as_json: bool) -> None:
    """Write the C and C++ files below each --source as parquet shards.

    Left out, and counted: generated, binary, empty and huge files, exact copies; hidden, build and third-party folders.
    """
    import attrs

    from nanoplug.corpus.build import build_shards
    from nanoplug.corpus.source_files import find_sources
    from nanoplug.corpus.torch_headers import torch_headers

    scan = find_sources(sources) if sources else torch_headers()
    report = build_shards(scan, out, val_fraction=val_fraction, rebuild=force)
    if as_json:
        click.echo(json.dumps({"folder": str(out), **attrs.asdict(report)}, indent=2))
        return
    train_mb, val_mb = report.train_bytes / 1e6, report.val_bytes / 1e6
    click.echo(f"training    {report.train_documents:,} files, {train_mb:,.1f} MB, {report.train_shards} shard(s)")
    click.echo(f"validation  {report.val_documents:,} files, {val_mb:,.1f} MB, 1 shard")
    _echo_skipped(report.skipped)
    click.echo(f"written to  {out}")


@data.command("show")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(folder: Path, as_json: bool) -> None:
    """Say what the shards in FOLDER hold."""
    from nanoplug.corpus.build import read_report
    from nanoplug.data.shards import list_shards, validation_among

    paths = list_shards(folder)
    held_out = validation_among(paths)
    rows = [_row(path, "validation" if path in held_out else "training") for path in paths]
    report = read_report(folder)
    if as_json:
        click.echo(json.dumps({"shards": rows, "skipped": dict(report.skipped) if report else None}, indent=2))
        return
    width = max(len(row["shard"]) for row in rows)
    for row in rows:
        click.echo(
            f"{row['shard']:<{width}}  {row['use']:<10}  {_counted(row['documents'], 9)} documents"
            f"  {_counted(row['row_groups'], 6)} row groups  {row['file_bytes'] / 1e6:>9,.1f} MB on disk"
            + (f"  {row['tokens']:>13,} tokens" if "tokens" in row else "")
        )
    if report:
        _echo_skipped(report.skipped)


def _row(path: Path, use: str) -> dict[str, Any]:
    """What one shard holds. Without a manifest only the tokenizer can tell documents of tokens apart."""
    from nanoplug.data.shards import TOKENS_SUFFIX, open_shards
    from nanoplug.data.token_shards import tokens_in
    from nanoplug.data.tokenized_folder import read_manifest

    row: dict[str, Any] = {"shard": path.name, "use": use}
    if path.suffix == TOKENS_SUFFIX:
        manifest = read_manifest(path.parent)
        stated = {shard.name: shard for shard in manifest.shards} if manifest else {}
        of = stated.get(path.name)
        row |= {"documents": of and of.documents, "row_groups": of and of.groups, "tokens": tokens_in(path)}
    else:
        shards = open_shards([path])
        row |= {"documents": shards.documents, "row_groups": len(shards.groups)}
    return {**row, "file_bytes": path.stat().st_size}


def _counted(value: int | None, width: int) -> str:
    return f"{'?' if value is None else format(value, ','):>{width}}"


def _echo_skipped(skipped: Mapping[str, int]) -> None:
    causes = ", ".join(f"{count:,} {cause}" for cause, count in skipped.items())
    click.echo(f"left out    {causes or 'nothing'}")
