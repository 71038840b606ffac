"""How learning rate, momentum and weight decay change from step 0 to the last of N steps."""

from __future__ import annotations

MOMENTUM_START, MOMENTUM_END, MOMENTUM_STEPS = 0.85, 0.95, 300


def lr_factor(
    step: int, total_steps: int, *, warmup_ratio: float, warmdown_ratio: float, final_lr_frac: float
) -> float:
    """What the full learning rate is multiplied by: a linear rise, one, and a linear fall to `final_lr_frac`."""
    warmup = round(warmup_ratio * total_steps)
    warmdown = round(warmdown_ratio * total_steps)
    if step < warmup:
        return (step + 1) / warmup
    if step <= total_steps - warmdown:
        return 1.0
    left = (total_steps - step) / warmdown
    return left + (1 - left) * final_lr_frac


def muon_momentum(step: int) -> float:
    """Rises linearly over the first steps, then stays."""
    done = min(step / MOMENTUM_STEPS, 1.0)
    return (1 - done) * MOMENTUM_START + done * MOMENTUM_END


def weight_decay_factor(step: int, total_steps: int) -> float:
    """What the full weight decay is multiplied by: falls linearly to 0."""
    return 1 - step / total_steps
