"""The grids of the training call's laws: for each law the cases that fit what a backend declares."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from attrs import evolve
from torch import Tensor

from nanoplug.conformance.attention_calls import (
    Call,
    base_call,
    head_dims_of,
    in_every_dtype,
    largest_head_dim_of,
    rare_head_dims_of,
    spec_of,
)
from nanoplug.conformance.law import Case, Subject
from nanoplug.contracts import Mask

Cases = Callable[[Subject], Iterable[Case]]
Arguments = tuple[Tensor, Tensor, Tensor, Mask]


def grid(*changes: dict[str, Any], when: str = "") -> Cases:
    """The base call with each of `changes`, in every dtype; no case unless the spec declares `when`."""

    def cases(subject: Subject) -> list[Case]:
        if when and not getattr(spec_of(subject), when):
            return []
        base = base_call(subject)
        return in_every_dtype(subject, [evolve(base, **change) for change in changes])

    return cases


def causal_cases(subject: Subject) -> list[Case]:
    lengths = ({"tokens": 1}, {"tokens": 2}, {"tokens": 33, "batch": 3}, {"tokens": 64, "batch": 1}, {"tokens": 65})
    more_keys = ({"tokens": 5, "keys": 18}, {"tokens": 1, "keys": 9}, {"tokens": 33, "keys": 34})
    head_dims = [{"head_dim": size} for size in head_dims_of(spec_of(subject))]
    return list(grid(*lengths, *more_keys, *head_dims)(subject))


def window_cases(subject: Subject) -> list[Case]:
    small = [{"tokens": 17, "window": window} for window in (0, 1, 5, 15, 16, 17, 40)]
    long = [{"tokens": 130, "window": 16, "batch": 1}, {"tokens": 97, "window": 64}, {"tokens": 300, "window": 130}]
    more_keys = [{"tokens": 7, "keys": 20, "window": 4}, {"tokens": 70, "keys": 150, "window": 33}]
    return list(grid(*small, *long, *more_keys, when="window")(subject))


GROUPED_HEADS = grid(
    {"heads": 4, "groups": 2},
    {"heads": 6, "groups": 2, "tokens": 33},
    {"heads": 4, "groups": 1},
    {"heads": 8, "groups": 4, "tokens": 5, "keys": 12},
    when="gqa",
)
NONCAUSAL = grid({"causal": False}, {"causal": False, "tokens": 5, "keys": 12}, when="noncausal")
LARGE_SCORES = grid({"scale": 30.0}, {"scale": 30.0, "tokens": 33, "batch": 1})
LAYOUT = grid({"tokens": 33})
DETERMINISTIC = grid({"tokens": 65}, when="deterministic")


def segment_cases(subject: Subject) -> list[Case]:
    changes = [{"segments": 2}, {"segments": 5, "tokens": 33}, {"segments": 3, "tokens": 65, "batch": 3}]
    windows = [{"segments": 4, "window": 6}, {"segments": 3, "tokens": 150, "window": 40}]
    return list(grid(*changes, *(windows if spec_of(subject).window else ()), when="segments")(subject))


def hidden_key_cases(subject: Subject) -> list[Case]:
    changes: list[dict[str, Any]] = [{}, {"tokens": 33, "batch": 1}, {"tokens": 8, "keys": 21}]
    if spec_of(subject).window:
        changes += [{"window": w, "tokens": t} for w, t in ((0, 17), (3, 17), (16, 64), (20, 150))]
    return list(grid(*changes)(subject))


def gradient_cases(subject: Subject) -> list[Case]:
    spec = spec_of(subject)
    changes: list[dict[str, Any]] = [{"tokens": 33}, {"tokens": 9, "keys": 14}]
    changes += [{"head_dim": largest_head_dim_of(spec), "tokens": 33}]
    changes += [{"heads": 4, "groups": 2}] if spec.gqa else []
    changes += [{"tokens": 33, "window": 5}, {"tokens": 150, "window": 20}] if spec.window else []
    changes += [{"segments": 3}] if spec.segments else []
    changes += [{"causal": False}] if spec.noncausal else []
    changes += [{"heads": 6, "groups": 2, "window": 7, "tokens": 70}] if spec.gqa and spec.window else []
    return list(grid(*changes, when="backward")(subject))


def rare_head_dim_cases(subject: Subject) -> list[Case]:
    changes = [{"head_dim": size, "tokens": 33, "batch": 1} for size in rare_head_dims_of(spec_of(subject))]
    return list(grid(*changes, when="backward")(subject))


def undeclared_cases(subject: Subject) -> list[Case]:
    spec, base = spec_of(subject), base_call(subject)
    calls = {
        "window": evolve(base, window=3),
        "gqa": evolve(base, heads=4, groups=2),
        "noncausal": evolve(base, causal=False),
        "segments": evolve(base, segments=3),
    }
    return [call.case() for capability, call in calls.items() if not getattr(spec, capability)]


def compile_cases(subject: Subject) -> list[Case]:
    spec, base = spec_of(subject), base_call(subject)
    if not spec.compile_safe:
        return []
    calls = [base]
    calls += [evolve(base, window=5, tokens=150)] if spec.window else []
    calls += [evolve(base, segments=2)] if spec.segments else []
    return [call.case() for call in calls]


def memory_cases(subject: Subject) -> list[Case]:
    spec = spec_of(subject)
    measurable = torch.device(subject.device).type in ("cpu", "cuda")
    if not measurable or spec.memory not in ("linear", "chunk"):
        return []
    base = evolve(base_call(subject), batch=1, heads=1, groups=1, tokens=512 if spec.memory == "linear" else 1024)
    calls = [base]
    calls += [evolve(base, window=64)] if spec.window else []
    calls += [evolve(base, segments=3)] if spec.segments else []
    return [call.case() for call in calls]


def refusal_cases(subject: Subject) -> list[Case]:
    """Each case's `arguments(device)` gives q, k, v and a mask that break the contract."""
    spec = spec_of(subject)
    base = evolve(base_call(subject), heads=4, groups=4)

    def broken(name: str, change: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]) -> Case:
        def arguments(device: str) -> Arguments:
            return (*change(*base.inputs(device)), Mask())

        return Case(name, {"arguments": arguments})

    cases = [
        broken("q without a batch axis", lambda q, k, v: (q[0], k, v)),
        broken("k and v of another batch size", lambda q, k, v: (q, k[:1], v[:1])),
        broken("k and v of another head size", lambda q, k, v: (q, k[..., :-1], v[..., :-1])),
        broken("3 key heads for 4 query heads", lambda q, k, v: (q, k[:, :, :3], v[:, :, :3])),
        broken("v shorter than k", lambda q, k, v: (q, k, v[:, :-1])),
        broken("fewer keys than queries", lambda q, k, v: (q, k[:, :-1], v[:, :-1])),
        broken("k and v of another dtype", lambda q, k, v: (q, k.to(_other(k.dtype)), v.to(_other(v.dtype)))),
        broken("integers", lambda q, k, v: (q.int(), k.int(), v.int())),
    ]
    if spec.segments:
        cases.append(Case("segments of another length", {"arguments": lambda device: _short_segments(base, device)}))
    if spec.head_dims is not None:
        size = next(size for size in (7, 24, 33, 1000) if size not in spec.head_dims)
        odd = evolve(base, head_dim=size)
        cases.append(Case(f"head size {size}", {"arguments": lambda device: (*odd.inputs(device), Mask())}))
    return cases


def _other(dtype: torch.dtype) -> torch.dtype:
    return torch.bfloat16 if dtype == torch.float32 else torch.float32


def _short_segments(call: Call, device: str) -> Arguments:
    segments_BT = torch.zeros(call.batch, call.tokens - 1, dtype=torch.int64, device=device)
    return (*call.inputs(device), Mask(segments_BT=segments_BT))
