"""`nanoplug quickstart`: real C++ to shards, a tokenizer, a small model and three completions, each made once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from nanoplug.cli.train import configuration_flags, gather_flags

if TYPE_CHECKING:
    from nanoplug.config import Config

VOCAB_SIZE = 8192
VAL_FRACTION = 0.05
PROMPTS = (
    "// Returns the number of elements.\nint64_t ",
    "template <typename T>\nclass ",
    "#include <vector>\n\nnamespace c10 {\n",
)
# A few minutes on two CPU cores; every value can be given as a flag instead.
SETTINGS: dict[str, Any] = {
    "depth": 4,
    "head_dim": 64,
    "sequence_len": 256,
    "window_pattern": "L",
    "device_batch_size": 8,
    "total_batch_size": 2048,
    "steps": 400,
    "eval_every": 100,
    "eval_tokens": 40_000,
    "save_every": 100,
    "keep_checkpoints": 2,
    "sample_every": -1,
}


@click.command()
@click.option("--corpus", type=click.Path(path_type=Path), help="Any tree of C++ [the headers inside torch].")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for all of it [runs/quickstart, or with the name]."
)
@click.option("--fresh", is_flag=True, help="Train again, whatever is there.")
@configuration_flags
def quickstart(corpus: Path | None, out: Path | None, fresh: bool, **given: Any) -> None:
    """From nothing to a small model of C++ and three completions.

    What is there from an earlier time is used again. Takes the flags of `nanoplug train` too.
    """
    from nanoplug.cli.run_training import run_training
    from nanoplug.config import load_config

    console = Console()
    name = "quickstart" if corpus is None else f"quickstart-{corpus.resolve().name}"
    out = out or Path("runs") / name
    flags = {**SETTINGS, **gather_flags(given)}
    flags["data"] = flags.get("data") or str(_shards(corpus, out / "data", console))
    base = load_config({}, flags).config
    flags["tokenizer_dir"] = flags.get("tokenizer_dir") or str(_tokenizer(base, out / "tokenizer", console))
    run_training(load_config({}, flags).config, out / "run", fresh=fresh, accept_changes=False, console=console)
    _complete(out / "run", console)


def _shards(corpus: Path | None, folder: Path, console: Console) -> Path:
    from nanoplug.corpus.build import build_shards, digest_of, read_report
    from nanoplug.corpus.source_files import find_sources
    from nanoplug.corpus.torch_headers import torch_headers

    scan = torch_headers() if corpus is None else find_sources([corpus])
    source = "the hand-written C++ headers of the installed torch" if corpus is None else str(corpus)
    report = read_report(folder)
    reused = report is not None and report.digest == digest_of(scan, VAL_FRACTION)
    if report is None or not reused:
        report = build_shards(scan, folder, val_fraction=VAL_FRACTION, rebuild=report is not None)
    skipped = "".join(f", {count} {cause}" for cause, count in report.skipped.items())
    _say(
        console,
        "corpus",
        f"{report.train_documents + report.val_documents:,} files,"
        f" {(report.train_bytes + report.val_bytes) / 1e6:.1f} MB: {source}; left out{skipped or ' none'}"
        + (" (used again)" if reused else ""),
    )
    return folder


def _tokenizer(config: Config, folder: Path, console: Console) -> Path:
    from nanoplug.cli.parts import Workshop
    from nanoplug.data.made_folder import made_folder
    from nanoplug.data.shards import open_shards, split_shards, texts_of
    from nanoplug.data.tokenizer_folder import MANIFEST_NAME, save_tokenizer
    from nanoplug.registry.request import Request
    from nanoplug.whole_files import write_text

    shards = open_shards(split_shards(Path(config.data.data))[0])
    # The tokenizer belongs to the shards that it was trained on.
    trained_on = folder.parent / "tokenizer.trained_on"
    if (folder / MANIFEST_NAME).is_file() and trained_on.is_file() and trained_on.read_text() == shards.digest:
        _say(console, "tokenizer", f"{folder} (used again)")
        return folder
    piece = Workshop(config.select, config.options).resolve("tokenizer", Request(trainable=True))
    _say(console, "tokenizer", f"training {VOCAB_SIZE:,} tokens with {piece.name} ({piece.why})")
    with made_folder(folder, mark=MANIFEST_NAME, rebuild=True) as made:
        trained = piece.backend.train(texts_of(shards), vocab_size=VOCAB_SIZE)
        save_tokenizer(trained, made, plugin_id=piece.id, distribution=piece.distribution, version=piece.version)
    write_text(trained_on, shards.digest)
    return folder


def _complete(run: Path, console: Console) -> None:
    from nanoplug.cli.open_run import open_run
    from nanoplug.inference.completion import complete_text
    from nanoplug.inference.engine import Engine

    opened = open_run(run)
    engine = Engine(opened.model, opened.tokenizer, device=opened.device)
    for number, prompt in enumerate(PROMPTS, 1):
        (text,) = complete_text(engine, prompt, max_tokens=80, temperature=0.7, top_k=50)
        console.rule(f"completion {number} of {len(PROMPTS)}", align="left")
        console.print(prompt, style="bold", end="", markup=False, highlight=False, soft_wrap=True)
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    opened.device.close()
    console.rule()
    console.print(
        f'more: nanoplug generate --run {run} --prompt "class Tensor {{"', markup=False, highlight=False, soft_wrap=True
    )


def _say(console: Console, what: str, text: str) -> None:
    console.print(f"{what:<15} {text}", markup=False, highlight=False, soft_wrap=True)
