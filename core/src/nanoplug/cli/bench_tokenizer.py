"""`nanoplug bench tokenizer`: trained tokenizers, and peers, on the same texts."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nanoplug.base_folder import base_folder
from nanoplug.cli.tokenizer_folder_options import FOLDER, opened
from nanoplug.cli.tokenizer_verify import contents
from nanoplug.errors import ConfigError, DataError

if TYPE_CHECKING:
    from nanoplug.benching.tokenizers import Encoder, Entrant
    from nanoplug.contracts import TokenizerFactory

PICTURES = (".png", ".svg", ".pdf")
RANDOM_STRINGS = 1000
SAMPLE_BYTES = 2_000_000


@click.command("tokenizer", short_help="Measure trained tokenizers.")
@click.argument("folders", nargs=-1, required=True, metavar="FOLDER...", type=FOLDER)
@click.option("--texts", "places", required=True, multiple=True, type=FOLDER, help="Files or folders; repeatable.")
@click.option(
    "--limit-mb", default=20.0, show_default=True, type=click.FloatRange(min=0, min_open=True), help="Of text, at most."
)
@click.option("--threads", default=2, show_default=True, type=click.IntRange(min=1), help="For the threaded column.")
@click.option(
    "--rounds", default=5, show_default=True, type=click.IntRange(min=1), help="Measurements of each, in turn."
)
@click.option("--peers/--no-peers", default=True, show_default=True, help="tiktoken's vocabularies that are here.")
@click.option("--results", type=FOLDER, help="File of JSON lines to add to [bench/bench.jsonl in the base folder].")
@click.option("--plot", type=FOLDER, metavar="FILE", help="Also draw them: .png, .svg or .pdf.")
@click.option("--json", "as_json", is_flag=True, help="Print rows as JSON; what else is said goes to stderr.")
def bench_tokenizer(
    folders: Sequence[Path],
    places: Sequence[Path],
    limit_mb: float,
    threads: int,
    rounds: int,
    peers: bool,
    results: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Measure the tokenizers in FOLDERs on --texts: bytes a token, and MB/s of encoding and decoding.

    Each is verified first: on a sample of the texts, on random bytes, and then every text must come back as it was.
    What fails is a row that says so. Every row is added to --results.
    """
    if plot is not None and plot.suffix not in PICTURES:
        raise ConfigError(f"--plot {plot}: a picture must end in {', '.join(PICTURES)}.")

    def say(line: str) -> None:
        click.echo(line, err=as_json)

    from nanoplug.benching import results as files
    from nanoplug.benching.tokenizers import measure, rows, shown
    from nanoplug.registry.machine import Machine
    from nanoplug.registry.tuning import place

    texts, left_out = _texts(places, limit_mb)
    size = sum(map(len, texts))
    where = place(Machine.here(), "cpu")
    said = f", {left_out:,} files left out beyond --limit-mb" if left_out else ""
    say(f"bench tokenizer on {where}: {len(texts):,} texts, {size / 1e6:,.2f} MB{said}")
    entrants = _entrants(folders, texts)
    if peers:
        entrants += _peers(say)
    found = measure(entrants, texts, threads=threads, rounds=rounds, say=say)
    terms = {
        "device": where,
        "texts": [str(one) for one in places],
        "files": len(texts),
        "bytes": size,
        "threads": threads,
        "rounds": rounds,
    }
    of_texts = rows(found, terms)
    out = results or base_folder() / "bench" / "bench.jsonl"
    files.append(out, of_texts)
    say(f"\n{shown(of_texts)}\n\nrows added to {out}")
    if as_json:
        click.echo(json.dumps(of_texts, indent=2, allow_nan=False))
    if plot is not None:
        from nanoplug.benching.tokenizer_plot import draw

        draw(plot, found, title=f"{size / 1e6:,.1f} MB of {', '.join(path.name for path in places)} on {where}")
        say(f"drawn: {plot}")


def _texts(places: Sequence[Path], limit_mb: float) -> tuple[list[bytes], int]:
    """The contents of all files, or of some drawn at random (the same for the same files); how many are left out."""
    every = [data for _, data in contents(places) if data]
    if not every:
        raise DataError(f"there is no text in {', '.join(map(str, places))}.", todo="Name files or folders of text.")
    order = random.Random(0).sample(range(len(every)), len(every))
    chosen: list[int] = []
    held = 0
    for index in order:
        if held + len(every[index]) <= limit_mb * 1e6 or not chosen:
            chosen.append(index)
            held += len(every[index])
    return [every[index] for index in sorted(chosen)], len(every) - len(chosen)


def _entrants(folders: Sequence[Path], texts: Sequence[bytes]) -> list[Entrant]:
    from nanoplug.benching.tokenizers import Entrant
    from nanoplug.registry.discover import discover
    from nanoplug.registry.machine import Machine
    from nanoplug.registry.tuning import made_of

    sample: list[tuple[str, bytes]] = []
    for number, data in enumerate(texts, 1):
        if sum(len(one) for _, one in sample) < SAMPLE_BYTES:
            sample.append((f"text {number}", data))
    machine, catalogue = Machine.here(), discover()
    entrants = []
    for folder in folders:
        piece, tokenizer = opened(folder)
        (entry,) = catalogue.named("tokenizer", piece.id)
        entrants.append(
            Entrant(
                name=folder.resolve().name,
                family=piece.name,
                open=lambda folder=folder: opened(folder)[1],  # type: ignore[misc]
                check=_check(piece.backend, sample),
                made_of=made_of(entry, machine),
                fingerprint=tokenizer.fingerprint,
                folder=str(folder),
            )
        )
    return entrants


def _check(factory: TokenizerFactory, sample: Sequence[tuple[str, bytes]]) -> Callable[[Encoder], str]:
    from nanoplug.conformance.trained_tokenizer import TrainedTokenizer

    def check(tokenizer: Any) -> str:
        findings = TrainedTokenizer(tokenizer, factory.load).findings(sample, random=RANDOM_STRINGS)
        broken = [finding.law for finding in findings if not finding.ok]
        return f"breaks {', '.join(broken)}; see `nanoplug tokenizer verify`" if broken else ""

    return check


def _peers(say: Callable[[str], None]) -> list[Entrant]:
    from nanoplug.benching.tokenizer_peers import PEERS, peer

    found: list[Entrant] = []
    for name in PEERS:
        one = peer(name)
        if isinstance(one, str):
            say(f"left out: {name}: {one}")
        else:
            found.append(one)
    return found
