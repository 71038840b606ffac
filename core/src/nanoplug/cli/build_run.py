"""Builds what a run trains with, from its beginning or from its latest checkpoint; writes nothing."""

from __future__ import annotations

from typing import Any

import torch
from attrs import frozen

from nanoplug.cli.open_data import Data, open_data
from nanoplug.cli.parts import RunParts, build_model
from nanoplug.config import Config
from nanoplug.contracts import Device, Tokenizer
from nanoplug.errors import CheckpointError
from nanoplug.model.config import GPTConfig
from nanoplug.model.flops import count_parameters, flops_per_token
from nanoplug.model.gpt import GPT
from nanoplug.model.weights import load_weights
from nanoplug.optim.optimizers import Optimizers, build_optimizer
from nanoplug.optim.settings import OptimSettings
from nanoplug.training.checkpoint import Checkpoint, Checkpoints
from nanoplug.training.horizon import Plan, make_plan


@frozen(kw_only=True)
class BuiltRun:
    """start_step: 0, or that of the checkpoint gone on from. metrics_state: of that checkpoint, or None."""

    plan: Plan
    compute_dtype: torch.dtype
    model: GPT
    compiled: bool
    optimizer: Optimizers
    data: Data
    start_step: int
    metrics_state: dict[str, Any] | None


def build_run(config: Config, parts: RunParts, checkpoints: Checkpoints | None) -> BuiltRun:
    """Everything that can turn out not to fit is found here. checkpoints: to go on from the latest, if there is one.

    Raises a NanoplugError for a plan that makes no sense, data that is not there, and a checkpoint that is damaged
    or belongs to another model, tokenizer or data.
    """
    device, model_config = parts.device, parts.model
    plan = make_plan(
        config,
        world_size=device.world_size,
        flops_per_token=flops_per_token(model_config),
        n_params=count_parameters(model_config),
    )
    compute_dtype = device.compute_dtype(config.compute.precision)
    checkpoint = checkpoints.load() if checkpoints and checkpoints.steps() else None
    if checkpoint:
        _check_fits(checkpoint, model_config, parts.tokenizer, plan)
    data = open_data(config, parts.tokenizer, device, eval_tokens=plan.eval_tokens, checkpoint=checkpoint)
    device.seed(config.run.seed)
    device.reset_peak_memory()
    recompute = config.compute.gradient_checkpointing
    model = build_model(model_config, parts.model_parts, device, compute_dtype, recompute=recompute)
    compiled = compiles(config, device)
    optimizer = build_optimizer(model, optim_settings(config), compile=device.compile if compiled else None)
    if checkpoint:
        load_weights(model, checkpoint.model)
        optimizer.load_state_tensors(checkpoint.optimizer)
        device.set_rng_state(checkpoint.random)
    else:
        model.init_weights(config.run.seed)
    return BuiltRun(
        plan=plan,
        compute_dtype=compute_dtype,
        model=model,
        compiled=compiled,
        optimizer=optimizer,
        data=data,
        start_step=checkpoint.step if checkpoint else 0,
        metrics_state=checkpoint.state["metrics"] if checkpoint else None,
    )


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


def _check_fits(checkpoint: Checkpoint, model: GPTConfig, tokenizer: Tokenizer, plan: Plan) -> None:
    stored, asked = checkpoint.state["model"], model.to_dict()
    if checkpoint.state["tokenizer"] != tokenizer.fingerprint:
        raise CheckpointError(
            f"checkpoint {checkpoint.folder} was trained with another tokenizer:"
            f" {stored['vocab_size']:,} tokens, fingerprint {checkpoint.state['tokenizer'][:12]};"
            f" this one has {tokenizer.vocab_size:,}, {tokenizer.fingerprint[:12]}.",
            todo="Give the --tokenizer-dir that it was trained with, or start over with --fresh.",
        )
    if stored != asked:
        raise CheckpointError(
            f"checkpoint {checkpoint.folder} holds another model.",
            details=[f"{key} {stored.get(key)} -> {value}" for key, value in asked.items() if stored.get(key) != value],
            todo="Ask for the model that was trained, or start over with --fresh.",
        )
    if checkpoint.step > plan.steps:
        raise CheckpointError(
            f"the latest checkpoint is of step {checkpoint.step}, beyond the {plan.steps} steps asked for.",
            todo="Ask for more steps, or start over with --fresh.",
        )
