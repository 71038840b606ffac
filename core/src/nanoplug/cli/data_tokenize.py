"""`nanoplug data tokenize`: shards of text to shards of tokens, which training reads without tokenizing."""

from __future__ import annotations

import json
import os
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from nanoplug.data.tokenized_folder import TokenManifest

_PATH = click.Path(path_type=Path)


@click.command("tokenize")
@click.option("--data", required=True, type=_PATH, help="Folder of parquet shards.")
@click.option("--tokenizer-dir", required=True, type=_PATH, help="Folder of a trained tokenizer.")
@click.option("--out", required=True, type=_PATH, help="Folder to make.")
@click.option(
    "--workers", type=click.IntRange(min=1), default=None, help="Processes [one for each core that may be used]."
)
@click.option("--force", is_flag=True, help="Replace what this command made in --out before.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def tokenize(data: Path, tokenizer_dir: Path, out: Path, workers: int | None, force: bool, as_json: bool) -> None:
    """Write the shards of --data as memory-mapped shards of tokens.

    `nanoplug train --data OUT` then reads the same rows as from --data, many times as fast. They belong to this
    tokenizer: training with another one is refused.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from nanoplug.cli.parts import Workshop, resolve_tokenizer
    from nanoplug.cli.worker_rendering import worker_plain_rendering
    from nanoplug.config import load_config
    from nanoplug.data.processes import RenderProcesses
    from nanoplug.data.rendering import PlainRendering
    from nanoplug.data.tokenized_folder import tokenize_folder

    config = load_config({}, {"tokenizer_dir": os.path.abspath(tokenizer_dir)}).config
    _, tokenizer = resolve_tokenizer(Workshop.of(config), tokenizer_dir)
    count = workers or _usable_cores()
    processes = None
    if count > 1:
        identity = PlainRendering(tokenizer).identity
        opener = partial(worker_plain_rendering, config)
        processes = RenderProcesses(opener, count=count, row_tokens=None, identity=identity)
    columns = (TextColumn("tokenizing"), BarColumn(), MofNCompleteColumn(), TextColumn("documents"))
    began = time.monotonic()
    try:
        with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=None)
            manifest = tokenize_folder(
                data,
                out,
                tokenizer,
                processes=processes,
                rebuild=force,
                on_progress=lambda done, of: bar.update(task, completed=done, total=of),
            )
    finally:
        if processes is not None:
            processes.close()
    _print(manifest, out, time.monotonic() - began, count, as_json=as_json)


def _print(manifest: TokenManifest, out: Path, seconds: float, workers: int, *, as_json: bool) -> None:
    import attrs

    documents, tokens = (sum(getattr(shard, name) for shard in manifest.shards) for name in ("documents", "tokens"))
    if as_json:
        done = {"folder": str(out), "seconds": seconds, "workers": workers, "documents": documents, "tokens": tokens}
        click.echo(json.dumps({**done, **attrs.asdict(manifest)}, indent=2))
        return
    width = max(len(shard.name) for shard in manifest.shards)
    for shard in manifest.shards:
        click.echo(f"{shard.name:<{width}}  {shard.documents:>9,} documents  {shard.tokens:>13,} tokens")
    click.echo(f"{documents:,} documents, {tokens:,} tokens in {seconds:.1f} s by {workers} process(es)")
    click.echo(f"written to {out}")


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
