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
@click.option("--whole-files", is_flag=True, help="Train on files as they are, not on an index of what they define.")
@click.option("--fresh", is_flag=True, help="Train again, whatever is there.")
@configuration_flags
def quickstart(
    corpus: Path | None, out: Path | None, vocab_size: int | None, whole_files: bool, fresh: bool, **given: Any
) -> None:
    """From nothing to a small model of C++ and three completions.

    What is there from an earlier time is used again. Takes the flags of `nanoplug train` too.
    """
    from nanoplug.cli.quickstart_data import quickstart_shards
    from nanoplug.cli.run_training import run_training
    from nanoplug.config import load_config

    console = Console()
    name = "quickstart" if corpus is None else f"quickstart-{corpus.resolve().name}"
    out = out or Path("runs") / name
    flags = {**SETTINGS, **gather_flags(given)}
    if not flags.get("data"):
        flags["data"] = str(quickstart_shards(corpus, out, console, whole_files=whole_files, fresh=fresh))
    base = load_config({}, flags).config
    flags["tokenizer_dir"] = flags.get("tokenizer_dir") or str(_tokenizer(base, vocab_size, out / "tokenizer", console))
    run_training(load_config({}, flags).config, out / "run", fresh=fresh, accept_changes=False, console=console)
    _complete(out / "run", console)


def _tokenizer(config: Config, vocab_size: int | None, folder: Path, console: Console) -> Path:
    """The folder of a tokenizer trained on these shards; without a wish the vocabulary is what the corpus gives."""
    from nanoplug.cli.make_tokenizer import make_tokenizer
    from nanoplug.cli.parts import Workshop
    from nanoplug.data.shards import open_shards, split_shards, texts_of
    from nanoplug.data.tokenizer_folder import MANIFEST_NAME
    from nanoplug.registry.request import Request
    from nanoplug.whole_files import write_text

    shards = open_shards(split_shards(Path(config.data.data))[0])
    # The tokenizer belongs to the shards that it was trained on.
    identity, trained_on = f"{vocab_size} {shards.digest}", folder.parent / "tokenizer.trained_on"
    if (folder / MANIFEST_NAME).is_file() and trained_on.is_file() and trained_on.read_text() == identity:
        say(console, "tokenizer", f"{folder} (used again)")
        return folder

    def make(factory: TokenizerFactory) -> Tokenizer:
        if vocab_size is None:
            return _fitting(factory, lambda: texts_of(shards), console)
        return factory.train(texts_of(shards), vocab_size=vocab_size)

    make_tokenizer(
        Workshop(config.select, config.options),
        Request(trainable=True),
        make,
        folder,
        rebuild=True,
        on_chosen=lambda piece: say(
            console, "tokenizer", f"training {vocab_size or VOCAB_SIZE:,} tokens with {piece.name} ({piece.why})"
        ),
    )
    write_text(trained_on, identity)
    return folder


def _fitting(factory: TokenizerFactory, texts: Callable[[], Iterable[str]], console: Console) -> Tokenizer:
    """Train with VOCAB_SIZE, or half as many as often as a small corpus demands, which is said."""
    from nanoplug.errors import ContractError, DataError

    size, too_large = VOCAB_SIZE, None
    while True:
        try:
            return factory.train(texts(), vocab_size=size)
        except DataError as error:
            if size <= SMALLEST_VOCAB_SIZE:
                raise
            size, too_large = size // 2, error
            say(console, "tokenizer", f"{error.message} Trying {size:,}.")
        except ContractError:
            if too_large is None:
                raise
            raise too_large from None  # so small is no tokenizer of this family


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
