"""One training run from a configuration: resolve the parts, enter the run folder, build, resume, train, report."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from nanoplug.cli.parts import RunParts, build_model, resolve_run_parts
from nanoplug.cli.run_hooks import RunHooks
from nanoplug.config import Config
from nanoplug.contracts import Device, Tokenizer
from nanoplug.data.eval_rows import EvalLoader
from nanoplug.data.loader import TrainLoader
from nanoplug.data.prefetch import Prefetch
from nanoplug.data.shards import split_shards
from nanoplug.errors import CheckpointError, ConfigError
from nanoplug.model.flops import count_parameters, flops_per_token
from nanoplug.model.weights import load_weights
from nanoplug.optim.optimizers import build_optimizer
from nanoplug.optim.settings import OptimSettings
from nanoplug.registry.observers import observers
from nanoplug.registry.receipt import Receipt
from nanoplug.training.checkpoint import Checkpoint, Checkpoints
from nanoplug.training.horizon import Plan, make_plan
from nanoplug.training.loop import train
from nanoplug.training.metrics import Metrics
from nanoplug.training.progress import Progress
from nanoplug.training.report import write_report
from nanoplug.training.run_folder import RunFolder
from nanoplug.training.sinks import TensorBoardSink, WandbSink


def run_training(config: Config, out: Path, *, fresh: bool, accept_changes: bool, console: Console) -> None:
    """Train in `out`, or go on there from the latest whole checkpoint. Prints what runs before it runs."""
    for key in ("data", "tokenizer_dir"):
        if not getattr(config.data, key):
            raise ConfigError(f"data.{key} is not set.", todo=f"Give --{key.replace('_', '-')} or set it in the file.")
    parts = resolve_run_parts(config, console)
    folder = RunFolder(out)
    try:
        parts.device.agree(parts.receipt.sha256, "receipt")
        with folder.locked():
            changed = folder.enter(
                config.to_dict(),
                parts.receipt.to_json(),
                receipt_changes=lambda old: Receipt.from_json(old).differences(parts.receipt),
                fresh=fresh,
                accept_changes=accept_changes,
            )
            for line in changed:
                console.print(f"changed         {line}", markup=False, highlight=False)
            if (steps := folder.finished_at()) is not None:
                console.print(
                    f"{out} is finished: {steps:,} steps. --fresh starts over; {folder.report} says how it went."
                )
                return
            _train_in(folder, config, parts, console)
    finally:
        parts.device.close()


def _train_in(folder: RunFolder, config: Config, parts: RunParts, console: Console) -> None:
    device, tokenizer = parts.device, parts.tokenizer
    plan = make_plan(
        config,
        world_size=device.world_size,
        flops_per_token=flops_per_token(parts.model),
        n_params=count_parameters(parts.model),
    )
    compute_dtype = device.compute_dtype(config.compute.precision)
    device.seed(config.run.seed)
    device.reset_peak_memory()
    model = build_model(
        parts.model, parts.model_parts, device, compute_dtype, recompute=config.compute.gradient_checkpointing
    )
    compiled = compiles(config, device)
    optimizer = build_optimizer(model, optim_settings(config), compile=device.compile if compiled else None)
    loader, validation = _loaders(config, tokenizer, device, plan)
    checkpoints = folder.checkpoints(keep=config.cadence.keep_checkpoints)
    resumed = _resume(checkpoints, parts, plan) if checkpoints.steps() else None
    start_step = resumed.step if resumed else 0
    if resumed:
        load_weights(model, resumed.model)
        optimizer.load_state_tensors(resumed.optimizer)
        device.set_rng_state(resumed.random)
        loader.load_state(resumed.state["loader"])
        console.print(f"going on from step {start_step:,} of {plan.steps:,}")
    else:
        model.init_weights(config.run.seed)
    _say_plan(console, parts, plan, loader, validation, compiled)

    with contextlib.ExitStack() as stack:
        progress = Progress(plan.steps, start_step=start_step, console=console)
        stack.callback(progress.close)
        metrics = Metrics(
            folder.metrics,
            tokens_per_step=plan.tokens_per_step,
            flops_per_token=flops_per_token(parts.model),
            peak_flops=device.peak_flops(compute_dtype),
            world_size=device.world_size,
            log_every=config.run.log_every,
            observers=[
                progress,
                *_sinks(config, folder, parts, start_step, stack),
                observers(parts.workshop.catalogue),
            ],
        )
        stack.callback(metrics.close)
        if resumed:
            metrics.load_state(resumed.state["metrics"])
        loss_of = device.compile(model) if compiled else model
        hooks = RunHooks(
            config=config,
            model=model,
            loss_of=loss_of,
            optimizer=optimizer,
            device=device,
            tokenizer=tokenizer,
            checkpoints=checkpoints,
            metrics=metrics,
            validation=validation,
            receipt=parts.receipt.to_json(),
            model_config=parts.model,
            console=console,
        )
        loader_state = resumed.state["loader"] if resumed else loader.state  # before a thread moves it on
        batches = stack.enter_context(Prefetch(loader, depth=2 * plan.accumulate))
        train(
            loss_of,
            batches,
            optimizer,
            device,
            metrics,
            plan,
            hooks.as_hooks(),
            start_step=start_step,
            loader_state=loader_state,
            check_targets_below=parts.model.vocab_size if config.compute.check else None,
        )
        device.synchronize()
        metrics.flush()
        peak_memory_bytes = device.peak_memory_bytes()
    write_report(folder.path, peak_memory_bytes=peak_memory_bytes)
    _say_end(console, folder)


def compiles(config: Config, device: Device) -> bool:
    return config.compute.compile == "on" or (config.compute.compile == "auto" and device.compiles_by_default())


def optim_settings(config: Config) -> OptimSettings:
    optim = config.optim
    return OptimSettings(
        embedding_lr=optim.embedding_lr,
        unembedding_lr=optim.unembedding_lr,
        matrix_lr=optim.matrix_lr,
        scalar_lr=optim.scalar_lr,
        weight_decay=optim.weight_decay,
        adam_beta1=optim.adam_beta1,
        adam_beta2=optim.adam_beta2,
        total_batch_tokens=optim.total_batch_size,
        warmup_ratio=optim.warmup_ratio,
        warmdown_ratio=optim.warmdown_ratio,
        final_lr_frac=optim.final_lr_frac,
    )


def _loaders(config: Config, tokenizer: Tokenizer, device: Device, plan: Plan) -> tuple[TrainLoader, EvalLoader]:
    train_shards, validation_shards = split_shards(Path(config.data.data))
    both: dict[str, Any] = {
        "batch_size": config.optim.device_batch_size,
        "sequence_len": config.model.sequence_len,
        "rank": device.rank,
        "world_size": device.world_size,
        "tokenizer_batch": config.data.tokenizer_batch,
        "tokenizer_threads": config.data.tokenizer_threads,
        "segments": config.data.mask_documents,
    }
    loader = TrainLoader(
        train_shards,
        tokenizer,
        buffer_documents=config.data.buffer_documents,
        split_documents=config.data.split_documents,
        **both,
    )
    return loader, EvalLoader(validation_shards, tokenizer, max_tokens=plan.eval_tokens, **both)


def _resume(checkpoints: Checkpoints, parts: RunParts, plan: Plan) -> Checkpoint:
    checkpoint = checkpoints.load()
    stored = checkpoint.state["model"]
    if stored != parts.model.to_dict():
        names = [key for key, value in parts.model.to_dict().items() if stored.get(key) != value]
        raise CheckpointError(
            f"checkpoint {checkpoint.folder} holds another model.",
            details=[f"{name} {stored.get(name)} -> {parts.model.to_dict()[name]}" for name in names],
            todo="Ask for the model that was trained, or start over with --fresh.",
        )
    if checkpoint.state["tokenizer"] != parts.tokenizer.fingerprint:
        raise CheckpointError(
            f"checkpoint {checkpoint.folder} was trained with another tokenizer:"
            f" fingerprint {checkpoint.state['tokenizer'][:12]}, here {parts.tokenizer.fingerprint[:12]}.",
            todo="Give the --tokenizer-dir that it was trained with, or start over with --fresh.",
        )
    if checkpoint.step > plan.steps:
        raise CheckpointError(
            f"the latest checkpoint is of step {checkpoint.step}, beyond the {plan.steps} steps asked for.",
            todo="Ask for more steps, or start over with --fresh.",
        )
    return checkpoint


def _sinks(
    config: Config, folder: RunFolder, parts: RunParts, start_step: int, stack: contextlib.ExitStack
) -> list[Callable[[Mapping[str, Any]], None]]:
    sinks: list[TensorBoardSink | WandbSink] = []
    if config.run.tensorboard:
        sinks.append(TensorBoardSink(folder.path / "tensorboard", start_step=start_step))
    if config.run.wandb:
        sinks.append(
            WandbSink(
                config.run.wandb,
                folder.path / "wandb",
                config=config.to_dict(),
                flops_per_token=flops_per_token(parts.model),
            )
        )
    for sink in sinks:
        stack.callback(sink.close)
    return list(sinks)


def _say_plan(
    console: Console, parts: RunParts, plan: Plan, loader: TrainLoader, validation: EvalLoader, compiled: bool
) -> None:
    n_params = count_parameters(parts.model)
    tokens = plan.steps * plan.tokens_per_step
    model = parts.model
    console.print(
        f"model           {n_params:,} parameters: {model.n_layer} layers of width {model.n_embd},"
        f" {model.n_head} heads, {flops_per_token(model):,} FLOPs a token, {'' if compiled else 'not '}compiled\n"
        f"data            {loader.documents:,} training documents; validation on {validation.documents:,} documents,"
        f" {validation.bytes:,} bytes\n"
        f"plan            {plan.steps:,} steps of {plan.tokens_per_step:,} tokens ({plan.accumulate} micro-batches):"
        f" {tokens:,} tokens, {tokens / n_params:.2f} a parameter",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _say_end(console: Console, folder: RunFolder) -> None:
    summary = json.loads(folder.summary.read_text(encoding="utf-8"))
    first, last = summary["val_bpb_first"], summary["val_bpb"]
    if first is not None and last is not None:
        console.print(
            f"validation      {first:.4f} -> {last:.4f} bits per byte ({100 * last / first:.1f} % of the first)",
            markup=False,
            highlight=False,
        )
    console.print(f"report          {folder.report}", markup=False, highlight=False, soft_wrap=True)
