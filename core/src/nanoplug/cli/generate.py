"""`nanoplug generate`: completes a prompt, or fills in what is between two texts, with a trained model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import frozen

from nanoplug.cli.run_options import chosen, run_options
from nanoplug.errors import ConfigError

if TYPE_CHECKING:
    from nanoplug.config import Config
    from nanoplug.inference.engine import Engine


@frozen
class _Asked:
    """What is shown before and behind the text that is made; behind is None where nothing is filled in."""

    before: str
    behind: str | None

    def prompt(self, engine: Engine, *, max_tokens: int, spm: bool) -> str | list[int]:
        from nanoplug.inference.infill import infill_prompt

        if self.behind is None:
            return self.before
        return infill_prompt(engine, self.before, self.behind, max_tokens=max_tokens, spm=spm)

    def marked(self, made: str) -> str:
        """A middle stands out on a terminal."""
        return made if self.behind is None else click.style(made, fg="green", bold=True)

    def as_json(self, made: Sequence[str]) -> dict[str, Any]:
        if self.behind is None:
            return {"prompt": self.before, "completions": made}
        return {"prefix": self.before, "suffix": self.behind, "middles": made}


@click.command()
@run_options()
@click.option("--prompt", help="Text to complete.")
@click.option("--prompt-file", type=click.Path(path_type=Path), help="File that holds the text to complete.")
@click.option("--prefix", help="Text before the middle that is to be filled in.")
@click.option("--prefix-file", type=click.Path(path_type=Path), help="File that holds the prefix.")
@click.option("--suffix", help="Text behind that middle.")
@click.option("--suffix-file", type=click.Path(path_type=Path), help="File that holds the suffix.")
@click.option("--spm", is_flag=True, help="Let the model read the suffix before the prefix.")
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
    spm: bool,
    max_tokens: int,
    temperature: float,
    top_k: int,
    num_samples: int,
    seed: int,
    as_json: bool,
    **texts: Any,
) -> None:
    """Complete --prompt, or fill in between --prefix and --suffix, with the model of --run.

    One sample is shown while it is made. What serves each site is said on stderr.
    """
    asked = _asked(spm=spm, **texts)
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
        engine = Engine(opened.model, opened.tokenizer, device=opened.device)
        prompt = asked.prompt(engine, max_tokens=max_tokens, spm=spm)
        if asked.behind is not None:
            _warn_unless_learnt(opened.config)
        if streams:
            click.echo(asked.before, nl=False)
        made = complete_text(
            engine,
            prompt,
            num_samples=num_samples,
            max_tokens=max_tokens,
            temperature=temperature,
            top_k=top_k,
            seed=seed,
            on_text=(lambda _, new: click.echo(asked.marked(new), nl=False)) if streams else None,
        )
    finally:
        opened.device.close()
    if as_json:
        click.echo(json.dumps({"step": opened.step, **asked.as_json(made)}, indent=2))
    elif streams:
        click.echo(asked.behind or "")
    else:
        for number, text in enumerate(made, 1):
            click.echo(f"--- sample {number} of {num_samples}")
            click.echo(f"{asked.before}{asked.marked(text)}{asked.behind or ''}")


def _asked(
    *,
    spm: bool,
    prompt: str | None,
    prompt_file: Path | None,
    prefix: str | None,
    prefix_file: Path | None,
    suffix: str | None,
    suffix_file: Path | None,
) -> _Asked:
    prompt, prefix, suffix = (
        _text("prompt", prompt, prompt_file),
        _text("prefix", prefix, prefix_file),
        _text("suffix", suffix, suffix_file),
    )
    if prompt is not None and prefix is None and suffix is None and not spm:
        return _Asked(prompt, None)
    if prompt is None and prefix is not None and suffix is not None:
        return _Asked(prefix, suffix)
    given = {"--prompt": prompt, "--prefix": prefix, "--suffix": suffix, "--spm": spm or None}
    got = " and ".join(name for name, value in given.items() if value is not None) or "nothing"
    raise ConfigError(
        f"generate needs one prompt, or a prefix and a suffix; it got {got}.",
        todo='Give --prompt TEXT, or both --prefix TEXT and --suffix TEXT ("" for none); each also as --...-file FILE.',
    )


def _text(name: str, given: str | None, file: Path | None) -> str | None:
    if file is None:
        return given
    if given is not None:
        raise ConfigError(f"generate needs one {name}; it got --{name} and --{name}-file.", todo="Give one of the two.")
    try:
        return file.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the {name} cannot be read: {error}.", todo="Give a text file in UTF-8.") from None


def _warn_unless_learnt(config: Config) -> None:
    if not config.data.fim_rate and not config.data.fim_structured_rate:
        click.echo(
            "warning: this run was trained without fill-in-the-middle (fim_rate is 0); what it fills in means little.",
            err=True,
        )
