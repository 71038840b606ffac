"""`nanoplug eval`: how good a trained model is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nanoplug.cli.run_options import chosen, run_options
from nanoplug.errors import ConfigError, DataError

if TYPE_CHECKING:
    from nanoplug.cli.open_run import OpenRun
    from nanoplug.evaluation.cpp_evaluation import CppReport


@click.group()
def evaluate() -> None:
    """Measure a trained model: bits per byte, or C++ problems compiled and run."""


@evaluate.command()
@run_options()
@click.option("--data", type=click.Path(path_type=Path), help="Folder of shards [the run's own].")
@click.option("--tokens", type=click.IntRange(min=1), help="Validation tokens [cadence.eval_tokens of the run].")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def bpb(
    run: Path,
    step: int | None,
    device: str | None,
    kernel: str | None,
    attention: str | None,
    precision: str | None,
    data: Path | None,
    tokens: int | None,
    as_json: bool,
) -> None:
    """Bits per byte on held-out documents: whole documents from the first on, every byte counted once."""
    from nanoplug.data.eval_rows import EvalLoader
    from nanoplug.data.shards import split_shards
    from nanoplug.evaluation.bits_per_byte import bits_per_byte

    opened = _open(run, step, chosen(device, kernel, attention), precision)
    try:
        config = opened.config
        # Without --data what the run was validated on, whatever its folder holds by now.
        names = (opened.validation or None) if data is None else None
        _, validation = split_shards(data or Path(config.data.data), validation=names)
        batches = EvalLoader(
            validation,
            opened.tokenizer,
            batch_size=config.optim.device_batch_size,
            sequence_len=opened.model.config.sequence_len,
            rank=opened.device.rank,
            world_size=opened.device.world_size,
            max_tokens=tokens or config.cadence.eval_tokens,
            tokenizer_batch=config.data.tokenizer_batch,
            tokenizer_threads=config.data.tokenizer_threads,
            segments=config.data.mask_documents,
        )
        result = bits_per_byte(opened.model, batches, opened.tokenizer.bytes_per_token, opened.device)
    finally:
        opened.device.close()
    if not result.bytes:
        raise DataError("the validation documents hold no byte to score.", todo="Give --data another folder.")
    if as_json:
        facts = {"step": opened.step, "documents": batches.documents, "bpb": result.bpb, "nats": result.nats}
        click.echo(json.dumps({**facts, "bytes": result.bytes, "tokens": result.tokens}, indent=2))
        return
    click.echo(
        f"val bpb {result.bpb:.4f}  step {opened.step:,}  {batches.documents:,} documents,"
        f" {result.bytes:,} bytes, {result.tokens:,} tokens"
    )


@evaluate.command()
@run_options(required=False)
@click.option("--problems", type=click.Path(path_type=Path), help="Problems as JSON lines, also .gz [our own 17].")
@click.option(
    "--samples", type=click.IntRange(min=1), default=1, show_default=True, help="For each problem; 1 is greedy."
)
@click.option("--limit", type=click.IntRange(min=1), help="Take only so many problems, the first ones.")
@click.option("--max-tokens", type=click.IntRange(min=1), default=512, show_default=True, help="Most new tokens.")
@click.option("--temperature", type=float, default=0.8, show_default=True, help="With more than one sample.")
@click.option("--top-k", type=int, default=50, show_default=True, help="With more than one sample; 0 is all.")
@click.option("--seed", type=int, default=42, show_default=True, help="Sample i draws with seed + i.")
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Programs judged at once.")
@click.option("--verify-references", is_flag=True, help="Judge the problems' own solutions; needs no --run.")
@click.option("--unsafe-no-sandbox", is_flag=True, help="Run generated programs with your own rights and network.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def cpp(
    run: Path | None,
    step: int | None,
    device: str | None,
    kernel: str | None,
    attention: str | None,
    precision: str | None,
    problems: Path | None,
    samples: int,
    limit: int | None,
    max_tokens: int,
    temperature: float,
    top_k: int,
    seed: int,
    workers: int,
    verify_references: bool,
    unsafe_no_sandbox: bool,
    as_json: bool,
) -> None:
    """Complete C++ functions, compile each with its test in a sandbox, and count what passes.

    Exits with 1 if --verify-references finds a solution that does not pass.
    """
    if (run is None) != verify_references:
        raise ConfigError(
            "eval cpp judges either a model or references.", todo="Give --run DIR or --verify-references."
        )
    from nanoplug.evaluation import cpp_evaluation
    from nanoplug.evaluation.cpp_problems import SHIPPED, load_problems
    from nanoplug.evaluation.judge import Judge

    chosen_problems = load_problems(problems or SHIPPED)[:limit]
    if unsafe_no_sandbox:
        click.echo("warning: programs run without a sandbox, with your rights and your network.", err=True)
    judge = Judge(isolated=not unsafe_no_sandbox)
    if run is None:
        report = cpp_evaluation.verify_references(chosen_problems, judge, workers=workers)
        _print_cpp(report, {}, as_json=as_json)
        if report.pass_rate < 1:
            raise SystemExit(1)
        return
    from nanoplug.cli.cpp_completer import cpp_completer
    from nanoplug.inference.engine import Engine

    opened = _open(run, step, chosen(device, kernel, attention), precision)
    try:
        complete = cpp_completer(
            Engine(opened.model, opened.tokenizer, device=opened.device),
            samples=samples,
            max_tokens=max_tokens,
            temperature=temperature,
            top_k=top_k,
            seed=seed,
        )
        report = cpp_evaluation.evaluate_cpp(chosen_problems, complete, judge, samples=samples, workers=workers)
    finally:
        opened.device.close()
    _print_cpp(report, {"step": opened.step}, as_json=as_json)


def _open(run: Path, step: int | None, select: dict[str, str], precision: str | None) -> OpenRun:
    from rich.console import Console

    from nanoplug.cli.open_run import open_run

    return open_run(run, step=step, select=select, precision=precision, console=Console(stderr=True))


def _print_cpp(report: CppReport, facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({**facts, **report.to_dict()}, indent=2))
        return
    rates = "".join(f"  pass@{k} {rate:.1%}" for k, rate in report.pass_at.items() if k > 1)
    click.echo(
        f"pass {report.pass_rate:.1%}  compile {report.compile_rate:.1%}{rates}"
        f"  {len(report.problems)} problems, {report.samples} each, {report.seconds:.0f} s"
    )
    for name, group in report.by_difficulty.items():
        click.echo(f"  {name:<8} pass {group['pass']:.1%}  compile {group['compile']:.1%}  {group['n']} problems")
    for cause, count in report.causes.items():
        click.echo(f"  {count:>5}  {cause}")
    if not report.isolated:
        click.echo("  programs ran without a sandbox")
