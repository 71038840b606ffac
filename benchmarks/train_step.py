"""Tokens a second of a whole training step: model, loss, backward and optimizer, through the registry.

python benchmarks/train_step.py --depth 12 --device-batch-size 32 --vocab-size 65536
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from harness import RESULTS, in_turn, median, record, table

from nanoplug.cli.build_run import optim_settings
from nanoplug.cli.parts import Workshop, build_model, resolve_device, resolve_model_parts
from nanoplug.config import Config, load_config
from nanoplug.model.flops import count_parameters, flops_per_token
from nanoplug.optim.optimizers import build_optimizer
from nanoplug.training.horizon import model_config

# What the reference design reached with full attention, V 65536, T 2048, B 32 (tokens a second), by device and depth.
REFERENCE_TOKENS_PER_S = {("NVIDIA H200", 12): 449_000, ("NVIDIA H200", 20): 142_000}


def measure(config: Config, *, vocab_size: int, accumulate: int, rounds: int, warmup: int) -> dict[str, Any]:
    workshop = Workshop(config.select, config.options)
    device_piece, device = resolve_device(workshop)
    dtype = device.compute_dtype(config.compute.precision)
    shape = model_config(config, vocab_size=vocab_size)
    parts = resolve_model_parts(workshop, shape, device=device, compute_dtype=dtype)
    model = build_model(shape, parts, device, dtype)
    model.init_weights(config.run.seed)
    compiled = config.compute.compile != "off"
    optimizer = build_optimizer(model, optim_settings(config), compile=device.compile if compiled else None)
    loss_of = device.compile(model) if compiled else model
    rows, tokens = config.optim.device_batch_size, config.model.sequence_len
    batches = [torch.randint(vocab_size, (rows, tokens + 1)) for _ in range(accumulate)]
    batches = [device.put(batch) for batch in batches]
    step = 0

    def train_step() -> None:
        nonlocal step
        optimizer.set_step(step, 1000)
        for batch in batches:
            with device.step():
                (loss_of(batch[:, :-1].contiguous(), batch[:, 1:].contiguous()) / accumulate).backward()
        optimizer.step()
        optimizer.zero_grad()
        step += 1

    device.reset_peak_memory()
    (times,) = in_turn([train_step], device.synchronize, rounds=rounds, warmup=warmup)
    tokens_per_s = accumulate * rows * tokens / median(times)
    peak = device.peak_flops(dtype)
    return {
        "device": device.name,
        "depth": config.model.depth,
        "parameters": count_parameters(shape),
        "batch": f"{rows}x{tokens}x{accumulate}",
        "window": config.model.window_pattern,
        "attention": parts.attention.id,
        "kernel": parts.kernel.id,
        "compiled": compiled,
        "step_ms": median(times) * 1e3,
        "tokens_per_s": tokens_per_s,
        "mfu": flops_per_token(shape) * tokens_per_s / peak if peak else None,
        "peak_memory_gib": device.peak_memory_bytes() / 2**30,
        "receipt": workshop.receipt([device_piece, *parts.pieces]).sha256,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depth", type=int, default=12)
    parser.add_argument("--sequence-len", type=int, default=2048)
    parser.add_argument("--device-batch-size", type=int, default=32)
    parser.add_argument("--vocab-size", type=int, default=65536)
    parser.add_argument("--window-pattern", default="L")
    parser.add_argument("--accumulate", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--attention", default="auto")
    parser.add_argument("--kernel", default="auto")
    parser.add_argument("--compile", default="on", choices=["on", "off"])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    select = {"attention.train": given.attention, "attention.decode": given.attention, "kernel": given.kernel}
    names = ("depth", "sequence_len", "device_batch_size", "window_pattern", "compile")
    rows = []
    for accumulate in given.accumulate:
        flags = {**{name: getattr(given, name) for name in names}, "select": select}
        flags["total_batch_size"] = given.device_batch_size * given.sequence_len * accumulate
        config = load_config({}, flags).config
        row = measure(
            config, vocab_size=given.vocab_size, accumulate=accumulate, rounds=given.rounds, warmup=given.warmup
        )
        reference = REFERENCE_TOKENS_PER_S.get((row["device"], given.depth))
        row["reference_tokens_per_s"] = reference
        row["ratio_to_reference"] = row["tokens_per_s"] / reference if reference else None
        rows.append(record("train_step", row, folder=given.results))
    columns = ("device", "depth", "batch", "window", "attention", "kernel", "step_ms", "tokens_per_s", "mfu")
    print(table(rows, (*columns, "peak_memory_gib", "ratio_to_reference")))


if __name__ == "__main__":
    main()
