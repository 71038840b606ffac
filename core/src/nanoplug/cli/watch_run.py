"""`--audit` and `--canary`: holds the backends of a run against what they declare, and against the exact operations."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from torch import Tensor

from nanoplug.cli.build_run import BuiltRun
from nanoplug.cli.parts import RunParts
from nanoplug.cli.say import say
from nanoplug.config import Config
from nanoplug.registry.piece import Piece
from nanoplug.training.audit import (
    Claim,
    check_attention_memory,
    check_launches,
    check_loss_memory,
    claim_of,
    launched_names,
    memory_is_measured,
    training_step,
)
from nanoplug.training.canary import Canary


def audit_run(config: Config, parts: RunParts, built: BuiltRun, console: Console) -> None:
    """Say what each backend of a training step launched and held. Raises NanoplugError if that is not as declared.

    On a CPU the model is profiled uncompiled, since what torch.compile makes there has no names in a profile.
    """
    device, model = parts.device, parts.model
    random = device.rng_state()
    compiled = built.compiled and device.type != "cpu"
    step = training_step(
        device.compile(built.model) if compiled else built.model,
        built.model.parameters(),
        batch_size=config.optim.device_batch_size,
        tokens=model.sequence_len,
        vocabulary=model.vocab_size,
        segments=config.data.mask_documents,
        device=device,
    )
    names = launched_names(step, device)
    how = "compiled" if compiled else "uncompiled"
    say(console, "audit", f"{len(names)} operators and kernels in one step of made-up tokens, {how}")
    attention, kernel = parts.model_parts.attention, parts.model_parts.kernel
    claims = [_claim(attention), _claim(_loss_piece(kernel))]
    for claim in claims:
        say(console, "audit", f"{claim.site}: {check_launches(claim, names, device.type)}")
    if not memory_is_measured(device):
        say(console, "audit", f"memory cannot be measured on {device.type}: the declared classes are not audited")
        return
    for window in sorted({-1, *model.windows()}, key=lambda window: (window >= 0, window)):
        found = check_attention_memory(
            claims[0],
            attention.backend,
            device=device,
            dtype=built.compute_dtype,
            heads=model.n_head,
            groups=model.n_kv_head,
            head_dim=model.head_dim,
            window=window,
        )
        shown = "no window" if window < 0 else f"window {window:,}"
        say(console, "audit", f"{claims[0].site}: {claims[0].name}, {shown}: {found}")
    found = check_loss_memory(
        claims[1],
        kernel.backend,
        device=device,
        dtype=built.compute_dtype,
        width=model.n_embd,
        vocabulary=model.padded_vocab_size,
        softcap=model.softcap,
    )
    say(console, "audit", f"{claims[1].site}: {claims[1].name}: {found}")
    device.set_rng_state(random)
    device.reset_peak_memory()


def canary_around(
    loss_of: Callable[..., Tensor], config: Config, parts: RunParts, built: BuiltRun, console: Console
) -> Callable[..., Tensor]:
    """`loss_of` with its first `canary` steps watched, and said to be; itself if none are."""
    steps = config.compute.canary
    if not steps:
        return loss_of
    attention, kernel = parts.model_parts.attention, parts.model_parts.kernel
    canary = Canary(
        built.model,
        attention=(attention.name, attention.backend),
        kernel=(_loss_piece(kernel).name, kernel.backend),
        steps=steps,
        accumulate=built.plan.accumulate,
        tell=lambda line: say(console, "canary", line),
    )
    say(
        console,
        "canary",
        f"rows of the first {steps:,} steps also go through the uncompiled model, where backends are held against the"
        " exact operations; training itself is not touched",
    )
    return canary.around(loss_of)


def _claim(piece: Piece) -> Claim:
    return claim_of(piece.site, piece.name, piece.capabilities)


def _loss_piece(kernel: Piece) -> Piece:
    """The piece that the loss comes from."""
    other = kernel.completed_by
    return other if other is not None and kernel.providers["linear_cross_entropy"] == other.id else kernel
