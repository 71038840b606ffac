"""The training loop: take a batch, forward, loss, backward, step, evaluate, save, report."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from nanoplug.contracts import Device
from nanoplug.data.loader import Batch
from nanoplug.errors import ContractError
from nanoplug.optim.optimizers import Optimizers
from nanoplug.training.horizon import Plan
from nanoplug.training.metrics import Metrics

_COLLECT_EVERY_STEPS = 5000


@frozen(kw_only=True)
class Hooks:
    """What happens between steps. Each takes the step; None is never called.

    save: writes a checkpoint, given the loader's state after the batches so far. evaluate: validation, recorded by
    itself, as are sample and cpp; an error in one of the last two is theirs to report, it does not end the run.
    """

    save: Callable[[int, Any], None]
    evaluate: Callable[[int], None]
    sample: Callable[[int], None] | None = None
    cpp: Callable[[int], None] | None = None


def train(
    loss_of: Callable[..., Tensor],
    batches: Iterator[Batch],
    optimizer: Optimizers,
    device: Device,
    metrics: Metrics,
    plan: Plan,
    hooks: Hooks,
    *,
    start_step: int = 0,
    check_targets_below: int | None = None,
) -> None:
    """Train from `start_step` to `plan.steps`.

    loss_of: the (compiled) model; (inputs_BT, targets_BT, segments_BT or None) -> mean loss in nats, fp32.
    check_targets_below: the vocabulary size, to check each target at the price of a synchronisation.
    """
    batch: Batch | None = None
    with _collecting_rarely() as collect:
        for step in range(start_step, plan.steps + 1):
            # A checkpoint comes before whatever could fail; the one resumed from is there already.
            if plan.saves(step) and step != start_step:
                hooks.save(step, batch.state if batch else None)
            if plan.evaluates(step):
                hooks.evaluate(step)
            if hooks.cpp and plan.runs_cpp(step):
                hooks.cpp(step)
            if hooks.sample and plan.samples(step):
                hooks.sample(step)
            if step == plan.steps:
                break

            optimizer.set_step(step, plan.steps)
            loss = torch.zeros((), device=device.torch_device)
            for _ in range(plan.accumulate):
                with metrics.waiting_for_data():
                    batch = next(batches)
                if check_targets_below is not None:
                    _check_targets(batch, check_targets_below)
                segments_BT = None if batch.segments_BT is None else device.put(batch.segments_BT)
                with device.step():
                    part = loss_of(device.put(batch.inputs_BT), device.put(batch.targets_BT), segments_BT)
                    (part / plan.accumulate).backward()
                loss += part.detach() / plan.accumulate
            device.reduce_gradients(optimizer.parameters)
            optimizer.step()
            optimizer.zero_grad()
            metrics.stepped(
                step,
                device.sum_over_ranks(loss) / device.world_size,
                lr_factor=optimizer.lr_factor,
                packing=batch.packing if batch else None,
            )
            collect()


@contextmanager
def _collecting_rarely() -> Iterator[Callable[[], None]]:
    """Yields what is to be called after each step: what lives after the first is left alone, the rest seen rarely.

    A collection in the midst of a step is a stall.
    """
    was_enabled, steps = gc.isenabled(), 0

    def after_step() -> None:
        nonlocal steps
        steps += 1
        if steps == 1:
            gc.collect()
            gc.freeze()
            gc.disable()
        elif steps % _COLLECT_EVERY_STEPS == 0:
            gc.collect()

    try:
        yield after_step
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()


def _check_targets(batch: Batch, vocab_size: int) -> None:
    low, high = int(batch.targets_BT.min()), int(batch.targets_BT.max())
    if low < -1 or high >= vocab_size:
        raise ContractError(
            f"targets reach from {low} to {high}; the vocabulary has ids 0 to {vocab_size - 1}, and -1 is ignored.",
            todo="The tokenizer and the model disagree: --tokenizer-dir must be the one that the model was made for.",
        )
