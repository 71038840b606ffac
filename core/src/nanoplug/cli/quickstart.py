"""`nanoplug quickstart`: real C++ to shards, a tokenizer, a small model and three completions, each made once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from nanoplug.cli.say import say, say_line
from nanoplug.cli.train import configuration_flags, gather_flags

if TYPE_CHECKING:
    from nanoplug.config import Config
    from nanoplug.contracts import Tokenizer, TokenizerFactory

VOCAB_SIZE = 8192
SMALLEST_VOCAB_SIZE = 512
VAL_FRACTION = 0.05
PROMPTS = (
    "#pragma once\n\n#include <",
    "  // Returns true if the tensor is",
    "template <typename T>\nstruct ",
)
# A few minutes on two CPU cores; every value can be given as a flag instead. The rule that scales learning rates with
# the square root of the batch is too cautious for steps of 2,048 tokens: six times its rates leave 57 % of the first
# bits per byte after 446,000 tokens, its own rates at depth 4 and the same compute 73 %.
SETTINGS: dict[str, Any] = {
    "depth": 3,
    "head_dim": 64,
    "sequence_len": 256,
    "window_pattern": "L",
    "device_batch_size": 8,
    "total_batch_size": 2048,
    "matrix_lr": 0.12,
    "embedding_lr": 2.0,
    "unembedding_lr": 0.024,
    "steps": 450,
    "eval_every": 150,
    "eval_tokens": 40_000,
    "save_every": 150,
    "keep_checkpoints": 2,
    "sample_every": -1,
}


@click.command()
@click.option("--corpus", type=click.Path(path_type=Path), help="Any tree of C++ [the headers inside torch].")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for all of it [runs/quickstart, or with the name]."
)
@click.option("--vocab-size", type=int, help=f"Tokens [{VOCAB_SIZE}, or what a small corpus has merges for].")
@click.option("--fresh", is_flag=True, help="Train again, whatever is there.")
@configuration_flags
def quickstart(corpus: Path | None, out: Path | None, vocab_size: int | None, fresh: bool, **given: Any) -> None:
    """From nothing to a small model of C++ and three completions.

    What is there from an earlier time is used again. Takes the flags of `nanoplug train` too.
    """
    from nanoplug.cli.run_training import run_training
    from nanoplug.config import load_config

    console = Console()
    name = "quickstart" if corpus is None else f"quickstart-{corpus.resolve().name}"
    out = out or Path("runs") / name
    flags = {**SETTINGS, **gather_flags(given)}
    flags["data"] = flags.get("data") or str(_shards(corpus, out, console, fresh=fresh))
    base = load_config({}, flags).config
    flags["tokenizer_dir"] = flags.get("tokenizer_dir") or str(_tokenizer(base, vocab_size, out / "tokenizer", console))
    run_training(load_config({}, flags).config, out / "run", fresh=fresh, accept_changes=False, console=console)
    _complete(out / "run", console)


def _shards(corpus: Path | None, out: Path, console: Console, *, fresh: bool) -> Path:
    """The folder of shards, built if it is not there; a run that is there keeps the corpus that it was trained on."""
    from nanoplug.corpus.build import build_shards, digest_of, read_report
    from nanoplug.corpus.source_files import find_sources
    from nanoplug.corpus.torch_headers import torch_headers
    from nanoplug.errors import RunConflict
    from nanoplug.training.run_folder import RunFolder

    scan = torch_headers() if corpus is None else find_sources([corpus])
    source = "the hand-written C++ headers of the installed torch" if corpus is None else str(corpus)
    folder = out / "data"
    report = read_report(folder)
    reused = report is not None and report.digest == digest_of(scan, VAL_FRACTION)
    if report is not None and not reused and not fresh and RunFolder(out / "run").config.is_file():
        raise RunConflict(
            f"the corpus is not what the run in {out} was trained on.",
            todo="--fresh trains again on what is there now; another --out keeps both.",
        )
    if report is None or not reused:
        report = build_shards(scan, folder, val_fraction=VAL_FRACTION, rebuild=report is not None)
    skipped = ", ".join(f"{count} {cause}" for cause, count in report.skipped.items())
    say(
        console,
        "corpus",
        f"{report.train_documents + report.val_documents:,} files,"
        f" {(report.train_bytes + report.val_bytes) / 1e6:.1f} MB: {source}; left out: {skipped or 'none'}"
        + (" (used again)" if reused else ""),
    )
    return folder


def _tokenizer(config: Config, vocab_size: int | None, folder: Path, console: Console) -> Path:
    """The folder of a tokenizer trained on these shards; without a wish the vocabulary is what the corpus gives."""
    from nanoplug.cli.parts import Workshop
    from nanoplug.data.made_folder import made_folder
    from nanoplug.data.shards import open_shards, split_shards, texts_of
    from nanoplug.data.tokenizer_folder import MANIFEST_NAME, save_tokenizer
    from nanoplug.registry.request import Request
    from nanoplug.whole_files import write_text

    shards = open_shards(split_shards(Path(config.data.data))[0])
    # The tokenizer belongs to the shards that it was trained on.
    identity, trained_on = f"{vocab_size} {shards.digest}", folder.parent / "tokenizer.trained_on"
    if (folder / MANIFEST_NAME).is_file() and trained_on.is_file() and trained_on.read_text() == identity:
        say(console, "tokenizer", f"{folder} (used again)")
        return folder
    piece = Workshop(config.select, config.options).resolve("tokenizer", Request(trainable=True))
    say(console, "tokenizer", f"training {vocab_size or VOCAB_SIZE:,} tokens with {piece.name} ({piece.why})")
    with made_folder(folder, mark=MANIFEST_NAME, rebuild=True) as made:
        if vocab_size is None:
            trained = _fitting(piece.backend, lambda: texts_of(shards), console)
        else:
            trained = piece.backend.train(texts_of(shards), vocab_size=vocab_size)
        save_tokenizer(trained, made, plugin_id=piece.id, distribution=piece.distribution, version=piece.version)
    write_text(trained_on, identity)
    return folder


def _fitting(factory: TokenizerFactory, texts: Callable[[], Iterable[str]], console: Console) -> Tokenizer:
    """Train with VOCAB_SIZE, or half as many as often as a small corpus demands, which is said."""
    from nanoplug.errors import DataError

    size = VOCAB_SIZE
    while True:
        try:
            return factory.train(texts(), vocab_size=size)
        except DataError as error:
            if size <= SMALLEST_VOCAB_SIZE:
                raise
            size //= 2
            say(console, "tokenizer", f"{error.message} Trying {size:,}.")


def _complete(run: Path, console: Console) -> None:
    from nanoplug.cli.open_run import open_run
    from nanoplug.inference.completion import complete_text
    from nanoplug.inference.engine import Engine

    opened = open_run(run)
    try:
        engine = Engine(opened.model, opened.tokenizer, device=opened.device)
        for number, prompt in enumerate(PROMPTS, 1):
            (text,) = complete_text(engine, prompt, max_tokens=80, temperature=0.7, top_k=50)
            console.rule(f"completion {number} of {len(PROMPTS)}", align="left")
            console.print(prompt, style="bold", end="", markup=False, highlight=False, soft_wrap=True)
            say_line(console, text)
    finally:
        opened.device.close()
    console.rule()
    say_line(console, f'more: nanoplug generate --run {run} --prompt "class Tensor {{"')
