"""`nanoplug generate`: completes a prompt with a trained model."""

from __future__ import annotations

import json
from pathlib import Path

import click

from nanoplug.cli.run_options import chosen, run_options
from nanoplug.errors import ConfigError


@click.command()
@run_options()
@click.option("--prompt", help="Text to complete.")
@click.option("--prompt-file", type=click.Path(path_type=Path), help="File that holds the text to complete.")
@click.option("--max-tokens", type=click.IntRange(min=1), default=128, show_default=True, help="Most new tokens.")
@click.option("--temperature", type=float, default=0.8, show_default=True, help="0 takes the most likely token.")
@click.option("--top-k", type=int, default=50, show_default=True, help="Draw from this many best tokens; 0 is all.")
@click.option("--num-samples", type=click.IntRange(min=1), default=1, show_default=True, help="Completions to make.")
@click.option("--seed", type=int, default=42, show_default=True, help="Sample i draws with seed + i.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def generate(
    run: Path,
    step: int | None,
    device: str | None,
    kernel: str | None,
    attention: str | None,
    precision: str | None,
    prompt: str | None,
    prompt_file: Path | None,
    max_tokens: int,
    temperature: float,
    top_k: int,
    num_samples: int,
    seed: int,
    as_json: bool,
) -> None:
    """Complete --prompt with the model of --run, through a key/value cache.

    One completion is shown while it is made. What serves each site is said on stderr.
    """
    text = _prompt(prompt, prompt_file)
    from rich.console import Console

    from nanoplug.cli.open_run import open_run
    from nanoplug.inference.completion import complete_text
    from nanoplug.inference.engine import Engine

    streams = num_samples == 1 and not as_json
    opened = open_run(
        run,
        step=step,
        select=chosen(device, kernel, attention),
        precision=precision,
        console=Console(stderr=True),
    )
    try:
        if streams:
            click.echo(text, nl=False)
        completions = complete_text(
            Engine(opened.model, opened.tokenizer, device=opened.device),
            text,
            num_samples=num_samples,
            max_tokens=max_tokens,
            temperature=temperature,
            top_k=top_k,
            seed=seed,
            on_text=(lambda _, new: click.echo(new, nl=False)) if streams else None,
        )
    finally:
        opened.device.close()
    if as_json:
        click.echo(json.dumps({"step": opened.step, "prompt": text, "completions": completions}, indent=2))
    elif streams:
        click.echo()
    else:
        for number, completion in enumerate(completions, 1):
            click.echo(f"--- sample {number} of {num_samples}\n{text}{completion}")


def _prompt(prompt: str | None, prompt_file: Path | None) -> str:
    if (prompt is None) == (prompt_file is None):
        raise ConfigError("generate needs one prompt.", todo="Give either --prompt TEXT or --prompt-file FILE.")
    if prompt_file is None:
        return prompt or ""
    try:
        return prompt_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the prompt cannot be read: {error}.", todo="Give a text file in UTF-8.") from None
