"""From the configuration to whole numbers: model shape, micro-batches a step, steps, and when what happens."""

from __future__ import annotations

import math

from attrs import frozen

from nanoplug.config import CadenceConfig, Config
from nanoplug.errors import ConfigError
from nanoplug.model.config import GPTConfig


@frozen(kw_only=True)
class Plan:
    """What a run will do. Step s of 0..steps-1 trains; pass `steps` only evaluates, samples and saves."""

    steps: int
    accumulate: int
    tokens_per_step: int
    eval_tokens: int
    cadence: CadenceConfig

    def saves(self, step: int) -> bool:
        return step == self.steps or (step > 0 and _due(step, self.cadence.save_every))

    def evaluates(self, step: int) -> bool:
        return self.cadence.eval_every > 0 and (step == self.steps or _due(step, self.cadence.eval_every))

    def samples(self, step: int) -> bool:
        return self._late(step, self.cadence.sample_every)

    def runs_cpp(self, step: int) -> bool:
        return self._late(step, self.cadence.cpp_eval_every)

    def _late(self, step: int, every: int) -> bool:
        return every > 0 and (step == self.steps or (step > 0 and _due(step, every)))


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def model_config(config: Config, *, vocab_size: int) -> GPTConfig:
    """The model that the configuration asks for: width is depth x aspect_ratio, heads near width / head_dim."""
    width = config.model.depth * config.model.aspect_ratio
    heads = head_count(width, config.model.head_dim)
    return GPTConfig(
        vocab_size=vocab_size,
        sequence_len=config.model.sequence_len,
        n_layer=config.model.depth,
        n_head=heads,
        n_kv_head=config.model.kv_heads or heads,
        n_embd=width,
        window_pattern=config.model.window_pattern,
    )


def head_count(width: int, head_dim: int) -> int:
    """The count nearest to width / head_dim that divides the width; the larger of two equally near."""
    ideal = max(1, round(width / head_dim))
    for distance in range(width):
        for count in (ideal + distance, ideal - distance):
            if count >= 1 and width % count == 0:
                return count
    raise ConfigError(f"no head count divides a width of {width}.")


def accumulation(config: Config, *, world_size: int) -> int:
    """Micro-batches a step; ConfigError unless the total batch is a multiple of what all devices take at once."""
    per_pass = config.optim.device_batch_size * config.model.sequence_len * world_size
    total = config.optim.total_batch_size
    if total % per_pass:
        down, up = total // per_pass * per_pass, -(-total // per_pass) * per_pass
        near = f"{down} or {up}" if down else f"{up}"
        raise ConfigError(
            f"total_batch_size is {total} tokens; it must be a multiple of device_batch_size x sequence_len x devices"
            f" = {config.optim.device_batch_size} x {config.model.sequence_len} x {world_size} = {per_pass}.",
            todo=f"Set --total-batch-size {near}, or change --device-batch-size.",
        )
    return total // per_pass


def make_plan(config: Config, *, world_size: int, flops_per_token: int, n_params: int) -> Plan:
    """Steps from the first positive of steps, target_flops and target_param_data_ratio."""
    accumulate = accumulation(config, world_size=world_size)
    tokens = config.optim.total_batch_size
    horizon = config.horizon
    if horizon.steps > 0:
        steps, key = horizon.steps, "steps"
    elif horizon.target_flops > 0:
        steps, key = round(horizon.target_flops / (flops_per_token * tokens)), "target_flops"
    elif horizon.target_param_data_ratio > 0:
        steps, key = math.floor(horizon.target_param_data_ratio * n_params / tokens), "target_param_data_ratio"
    else:
        raise ConfigError("no horizon is set.", todo="Set --steps, --target-flops or --target-param-data-ratio.")
    if steps < 1:
        raise ConfigError(
            f"{key} gives 0 steps of {tokens} tokens for {n_params} parameters.",
            todo="Raise it, lower --total-batch-size, or set --steps.",
        )
    return Plan(
        steps=steps,
        accumulate=accumulate,
        tokens_per_step=tokens,
        eval_tokens=config.cadence.eval_tokens,
        cadence=config.cadence,
    )
