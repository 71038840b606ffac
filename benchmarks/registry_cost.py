"""What going through the registry costs: one training step with resolved backends against the same model with
backends built by hand, and against bare torch functions without any contract check, in turn in one process.

    python benchmarks/registry_cost.py --depth 12
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from harness import RESULTS, in_turn, median, record, table
from torch import Tensor
from torch.nn import functional as F

from nanoplug.cli.parts import ModelParts, Workshop, build_model, resolve_device, resolve_model_parts
from nanoplug.config import load_config
from nanoplug.contracts import Device, Mask
from nanoplug.model.config import GPTConfig
from nanoplug.model.gpt import GPT
from nanoplug.registry.target import resolve_target
from nanoplug.training.horizon import model_config


class BareAttention:
    """The library's function and nothing else."""

    def attend(self, q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, *, mask: Mask) -> Tensor:
        q, k, v = (x.transpose(1, 2) for x in (q_BTHD, k_BSGD, v_BSGD))
        order = [torch.nn.attention.SDPBackend.CUDNN_ATTENTION, torch.nn.attention.SDPBackend.FLASH_ATTENTION]
        if not q.is_cuda:
            return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)
        with torch.nn.attention.sdpa_kernel(order, set_priority=True):
            return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)


def by_hand(spec_load: str) -> Any:
    """The backend object that a manifest's load target gives, without discovery, judging, probe or receipt."""
    return resolve_target(spec_load)()


def forward_backward(model: GPT, device: Device, batch: Tensor, *, compiled: bool) -> Callable[[], None]:
    # One graph or an error: a graph break anywhere in a step would be a cost of the registry.
    loss_of = torch.compile(model, fullgraph=True, dynamic=False) if compiled else model
    inputs, targets = batch[:, :-1].contiguous(), batch[:, 1:].contiguous()

    def run() -> None:
        with device.step():
            loss_of(inputs, targets).backward()
        model.zero_grad(set_to_none=True)

    return run


def variants(
    shape: GPTConfig, parts: ModelParts, loads: dict[str, str], device: Device, dtype: torch.dtype
) -> dict[str, GPT]:
    kernel = by_hand(loads["kernel"])
    direct = by_hand(loads["attention"])
    models = {"registry": build_model(shape, parts, device, dtype)}
    for name, attention in (("by hand", direct), ("bare torch", BareAttention())):
        with torch.device("meta"):
            model = GPT(shape, attention=attention, kernel=kernel, compute_dtype=dtype)
        models[name] = model.to_empty(device=device.torch_device)
    for model in models.values():
        model.init_weights(42)
    return models


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depth", type=int, default=2)
    parser.add_argument("--sequence-len", type=int, default=256)
    parser.add_argument("--device-batch-size", type=int, default=4)
    parser.add_argument("--vocab-size", type=int, default=4096)
    parser.add_argument("--compile", choices=["on", "off"], default="off")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    names = ("depth", "sequence_len", "device_batch_size")
    config = load_config({}, {**{name: getattr(given, name) for name in names}, "window_pattern": "L"}).config
    workshop = Workshop(config.select, config.options)
    _, device = resolve_device(workshop)
    dtype = device.compute_dtype("auto")
    shape = model_config(config, vocab_size=given.vocab_size)
    parts = resolve_model_parts(workshop, shape, device=device, compute_dtype=dtype)
    loads = {piece.kind: _load_of(workshop, piece.id) for piece in (parts.attention, parts.kernel)}
    batch = device.put(torch.randint(given.vocab_size, (given.device_batch_size, given.sequence_len + 1)))
    models = variants(shape, parts, loads, device, dtype)
    compiled = given.compile == "on"
    runs = [forward_backward(model, device, batch, compiled=compiled) for model in models.values()]
    times = in_turn(runs, device.synchronize, rounds=given.rounds, warmup=5)
    rows = []
    for name, mine in zip(models, times, strict=True):
        # Each round's pair stood side by side, so their ratio is free of slow drift.
        ratio = median([a / b for a, b in zip(times[0], mine, strict=True)])
        row = {"variant": name, "device": device.name, "depth": given.depth, "compiled": compiled}
        row |= {"batch": f"{given.device_batch_size}x{given.sequence_len}", "step_ms": median(mine) * 1e3}
        row |= {"registry_over_this": ratio, "attention": parts.attention.id, "kernel": parts.kernel.id}
        rows.append(record("registry_cost", row, folder=given.results))
    print(table(rows, ("variant", "device", "depth", "batch", "compiled", "step_ms", "registry_over_this")))


def _load_of(workshop: Workshop, identity: str) -> str:
    return next(entry.spec.load for entry in workshop.catalogue.entries() if entry.id == identity)


if __name__ == "__main__":
    main()
