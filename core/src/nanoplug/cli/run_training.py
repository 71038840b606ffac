"""One training run from a configuration: resolve the parts, build, begin or go on in the run folder, train, report."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import evolve
from rich.console import Console

from nanoplug.cli.build_run import BuiltRun, build_run
from nanoplug.cli.parts import RunParts, resolve_run_parts
from nanoplug.cli.run_hooks import RunHooks
from nanoplug.cli.say import say, say_line
from nanoplug.cli.watch_run import audit_run, canary_around
from nanoplug.config import Config
from nanoplug.contracts import dtype_name
from nanoplug.data.cpp_check import warned_of_no_cpp
from nanoplug.data.prefetch import Prefetch
from nanoplug.errors import ConfigError
from nanoplug.model.flops import count_parameters, flops_per_token
from nanoplug.registry.observers import observers
from nanoplug.registry.receipt import Receipt
from nanoplug.training.loop import train
from nanoplug.training.metrics import Metrics
from nanoplug.training.progress import Progress
from nanoplug.training.report import write_report
from nanoplug.training.run_folder import RunFolder
from nanoplug.training.sinks import TensorBoardSink, WandbSink, require_installed

Observer = Callable[[Mapping[str, Any]], None]


def run_training(config: Config, out: Path, *, fresh: bool, accept_changes: bool, console: Console) -> None:
    """Train in `out`, or go on there from the latest whole checkpoint. Prints what runs before it runs.

    What is in `out` is touched only after everything has been found to fit.
    """
    config = _located(config)
    require_installed(tensorboard=config.run.tensorboard, wandb=bool(config.run.wandb))
    parts = resolve_run_parts(config, console)
    folder = RunFolder(out)
    try:
        parts.device.agree(parts.receipt.agreement, "receipt")
        say(console, "receipt", f"{parts.receipt.sha256[:10]}… same on all {parts.device.world_size} ranks")
        with folder.locked():
            changed = folder.check(
                config.to_dict(),
                receipt_changes=lambda old: Receipt.from_json(old).differences(parts.receipt),
                fresh=fresh,
                accept_changes=accept_changes,
            )
            if not fresh and not changed and (steps := folder.finished_at()) is not None:
                say_line(console, f"{out} is finished: {steps:,} steps; {folder.report} says how it went.")
                say_line(console, "--fresh starts over.")
                return
            checkpoints = folder.checkpoints(keep=config.cadence.keep_checkpoints)
            built = build_run(config, parts, None if fresh else checkpoints)
            if config.compute.audit:
                audit_run(config, parts, built, console)
            folder.begin(config.to_dict(), parts.receipt.to_json(), fresh=fresh, changed=bool(changed))
            checkpoints.tidy()
            for line in changed:
                say(console, "changed", line)
            _train_in(folder, config, parts, built, console)
    finally:
        parts.device.close()


def _located(config: Config) -> Config:
    """The configuration with absolute paths, so that the run can be opened from anywhere."""
    for key in ("data", "tokenizer_dir"):
        if not getattr(config.data, key):
            raise ConfigError(f"data.{key} is not set.", todo=f"Give --{key.replace('_', '-')} or set it in the file.")
    given = [key for key in ("data", "tokenizer_dir", "fim_pairs") if getattr(config.data, key)]
    absolute = {key: os.path.abspath(getattr(config.data, key)) for key in given}
    return evolve(config, data=evolve(config.data, **absolute))


def _train_in(folder: RunFolder, config: Config, parts: RunParts, built: BuiltRun, console: Console) -> None:
    facts = _facts(config, parts, built)
    _say_plan(console, parts, built)
    tell = observers(parts.workshop.catalogue)
    with _told(tell, folder, config, parts, built), _stop_explained(folder, built, console):
        with contextlib.ExitStack() as stack:
            progress = Progress(built.plan.steps, start_step=built.start_step, console=console)
            stack.callback(progress.close)
            sinks = _sinks(config, folder, parts, built.start_step, stack)
            metrics = Metrics(
                folder.metrics,
                tokens_per_step=built.plan.tokens_per_step,
                flops_per_token=flops_per_token(parts.model),
                peak_flops=parts.device.peak_flops(built.compute_dtype),
                world_size=parts.device.world_size,
                log_every=config.run.log_every,
                observers=[progress, *sinks, tell],
            )
            stack.callback(metrics.close)
            if built.metrics_state:
                metrics.load_state(built.metrics_state)
            _train(config, parts, built, folder, metrics, console)
            peak_memory_bytes = parts.device.peak_memory_bytes()
        write_report(folder.path, peak_memory_bytes=peak_memory_bytes, facts=facts)
    _say_end(console, folder)


def _train(
    config: Config, parts: RunParts, built: BuiltRun, folder: RunFolder, metrics: Metrics, console: Console
) -> None:
    device = parts.device
    loss_of = device.compile(built.model) if built.compiled else built.model
    hooks = RunHooks(
        config=config,
        model=built.model,
        loss_of=loss_of,
        optimizer=built.optimizer,
        device=device,
        tokenizer=parts.tokenizer,
        checkpoints=folder.checkpoints(keep=config.cadence.keep_checkpoints),
        metrics=metrics,
        validation=built.data.validation,
        validation_state=built.data.validation_state,
        receipt=parts.receipt.to_json(),
        model_config=parts.model,
        console=console,
    )
    loader = built.data.loader
    with Prefetch(loader, depth=2 * built.plan.accumulate, stop=loader.close) as batches:
        train(
            canary_around(loss_of, config, parts, built, console),
            warned_of_no_cpp(batches, parts.tokenizer, lambda text: say(console, "warning", text)),
            built.optimizer,
            device,
            metrics,
            built.plan,
            hooks.as_hooks(),
            start_step=built.start_step,
            check_targets_below=parts.model.vocab_size if config.compute.check else None,
        )
    device.synchronize()


@contextlib.contextmanager
def _told(tell: Observer, folder: RunFolder, config: Config, parts: RunParts, built: BuiltRun) -> Iterator[None]:
    """Observers hear when the run begins and how it ends; neither is a row of the metrics."""
    steps = {"steps": built.plan.steps, "receipt_sha256": parts.receipt.sha256}
    tell({"event": "run_start", "step": built.start_step, **steps, "config": config.to_dict()})
    try:
        yield
    except BaseException as error:
        tell({"event": "run_end", **steps, "summary": None, "error": f"{type(error).__name__}: {error}"})
        raise
    summary = json.loads(folder.summary.read_text(encoding="utf-8"))
    tell({"event": "run_end", **steps, "summary": summary, "error": None})


@contextlib.contextmanager
def _stop_explained(folder: RunFolder, built: BuiltRun, console: Console) -> Iterator[None]:
    """Ctrl-C says where the same command goes on."""
    try:
        yield
    except KeyboardInterrupt:
        saved = folder.checkpoints().steps()
        where = f"goes on from step {saved[-1]:,}" if saved else "starts again from step 0: no checkpoint was due yet"
        say_line(console, f"stopped. The same command, without --fresh, {where} of {built.plan.steps:,}.")
        raise


def _sinks(
    config: Config, folder: RunFolder, parts: RunParts, start_step: int, stack: contextlib.ExitStack
) -> list[Observer]:
    sinks: list[TensorBoardSink | WandbSink] = []
    if config.run.tensorboard:
        sinks.append(TensorBoardSink(folder.path / "tensorboard", start_step=start_step))
    if config.run.wandb:
        wandb = folder.path / "wandb"
        flops = flops_per_token(parts.model)
        sinks.append(WandbSink(config.run.wandb, wandb, config=config.to_dict(), flops_per_token=flops))
    for sink in sinks:
        stack.callback(sink.close)
    return list(sinks)


def _facts(config: Config, parts: RunParts, built: BuiltRun) -> dict[str, Any]:
    """Further lines for the report's table of numbers."""
    tokens = built.plan.steps * built.plan.tokens_per_step
    n_params, flops = count_parameters(parts.model), flops_per_token(parts.model)
    return {
        "parameters": n_params,
        "tokens per parameter": tokens / n_params,
        "FLOPs per token": flops,
        "FLOPs in total": f"{flops * tokens:.3e}",
        "tokens per step": built.plan.tokens_per_step,
        "micro-batches per step": built.plan.accumulate,
        "devices": parts.device.world_size,
        "precision": f"{dtype_name(built.compute_dtype)} on fp32 masters",
        "compiled": "yes" if built.compiled else "no",
        "warmup": f"{100 * config.optim.warmup_ratio:g} % of the steps",
        "warmdown": f"{100 * config.optim.warmdown_ratio:g} % of the steps",
        "learning rate at the end": f"{100 * config.optim.final_lr_frac:g} % of the full rate",
        "fill in the middle": built.data.fim or "none",
        "padding of validation rows": f"{100 * built.data.validation.padding_share:.1f} %",
    }


def _say_plan(console: Console, parts: RunParts, built: BuiltRun) -> None:
    plan, model, data = built.plan, parts.model, built.data
    n_params = count_parameters(model)
    tokens = plan.steps * plan.tokens_per_step
    if built.start_step:
        say_line(console, f"going on from step {built.start_step:,} of {plan.steps:,}")
    say(
        console,
        "model",
        f"{n_params:,} parameters: {model.n_layer} layers of width {model.n_embd}, {model.n_head} heads,"
        f" {flops_per_token(model):,} FLOPs a token, {'' if built.compiled else 'not '}compiled",
    )
    say(
        console,
        "data",
        f"{data.loader.documents:,} training documents; validation on {data.validation.documents:,} documents,"
        f" {data.validation.bytes:,} bytes",
    )
    if data.fim:
        say(console, "middles", data.fim)
    say(
        console,
        "plan",
        f"{plan.steps:,} steps of {plan.tokens_per_step:,} tokens ({plan.accumulate} micro-batches):"
        f" {tokens:,} tokens, {tokens / n_params:.2f} a parameter",
    )


def _say_end(console: Console, folder: RunFolder) -> None:
    summary = json.loads(folder.summary.read_text(encoding="utf-8"))
    first, last = summary["val_bpb_first"], summary["val_bpb"]
    if first and last is not None:
        share = 100 * last / first
        say(console, "validation", f"{first:.4f} -> {last:.4f} bits per byte ({share:.1f} % of the first)")
    say(console, "report", str(folder.report))
