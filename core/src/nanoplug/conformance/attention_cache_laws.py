"""The laws of an attention backend's cached call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from attrs import evolve
from torch import Tensor

from nanoplug.conformance import attention_cache_wrong as wrong
from nanoplug.conformance.attention_calls import CachedCall, base_call, dtypes_of, output_limit, spec_of
from nanoplug.conformance.attention_oracle import attend_exactly, attend_plainly, rows_after_writing
from nanoplug.conformance.law import Case, Law, Measured, Subject
from nanoplug.conformance.measure import (
    compiled,
    full_precision,
    require,
    require_close,
    require_equal,
    require_refusal,
    worst_of,
)
from nanoplug.conformance.watch import HostReads
from nanoplug.contracts import LayerCache, Mask


def _grid(*changes: dict[str, Any], when: str = "cache", first_dtype_only: bool = False) -> Callable[..., list[Case]]:
    """Cached calls with `changes`, in every dtype; none unless the spec declares `cache` and `when`."""

    def cases(subject: Subject) -> list[Case]:
        spec, base = spec_of(subject), base_call(subject)
        if not spec.cache or not getattr(spec, when):
            return []
        dtypes = dtypes_of(spec)[: 1 if first_dtype_only else None]
        return [
            CachedCall(dtype=dtype, head_dim=base.head_dim, **change).case() for dtype in dtypes for change in changes
        ]

    return cases


def _copy(cache: LayerCache) -> LayerCache:
    return LayerCache(cache.k_BSGD.clone(), cache.v_BSGD.clone(), cache.lengths_B.clone(), cache.longest, cache.uniform)


def check_cached_output(subject: Subject, case: Case) -> Measured:
    """Each row equals the exact operation over what it holds and its new tokens, whatever the other rows hold."""
    call: CachedCall = case.values["call"]
    q, k, v = call.inputs(subject.device)
    cache, mask = call.cache(subject.device), call.mask()
    rows = rows_after_writing(k, v, cache)
    with full_precision(), torch.no_grad():
        output = subject.backend.attend_cached(q, k, v, cache, mask=mask)
    require(output.dtype == q.dtype, f"output is {output.dtype}, must be {q.dtype}")
    require(output.shape == q.shape, f"output is {tuple(output.shape)}, must be {tuple(q.shape)}")
    results = []
    for row, (k_row, v_row) in enumerate(rows):
        q_row = q[row : row + 1]
        exact, plain = attend_exactly(q_row, k_row, v_row, mask), attend_plainly(q_row, k_row, v_row, mask)
        limit = output_limit(call.dtype, plain, exact)
        results.append(require_close(f"row {row} of the output", output[row : row + 1], exact, limit))
    return worst_of(results)


def check_cache_writes(subject: Subject, case: Case) -> None:
    """The new keys and values stand at [len_b, len_b + T), nothing else changed, and nothing was advanced."""
    call: CachedCall = case.values["call"]
    q, k, v = call.inputs(subject.device)
    cache = call.cache(subject.device)
    want = _copy(cache)
    for row, length in enumerate(call.lengths):
        want.k_BSGD[row, length : length + call.tokens] = k[row]
        want.v_BSGD[row, length : length + call.tokens] = v[row]
    with torch.no_grad():
        subject.backend.attend_cached(q, k, v, cache, mask=call.mask())
    require_equal("the key cache", cache.k_BSGD, want.k_BSGD)
    require_equal("the value cache", cache.v_BSGD, want.v_BSGD)
    require_equal("lengths_B, which the model advances,", cache.lengths_B, want.lengths_B)
    require(cache.longest == want.longest, f"longest became {cache.longest}, must stay {want.longest}")


def check_cache_sequence(subject: Subject, case: Case) -> Measured:
    """Prefill and steps, one after the other, give what one training call over the whole sequence gives."""
    call: CachedCall = case.values["call"]
    pieces: tuple[int, ...] = case.values["pieces"]
    whole = evolve(call, tokens=sum(pieces))
    q, k, v = whole.inputs(subject.device)
    cache, mask = call.cache(subject.device), call.mask()
    outputs, start = [], 0
    with full_precision(), torch.no_grad():
        for size in pieces:
            piece = slice(start, start + size)
            outputs.append(subject.backend.attend_cached(q[:, piece], k[:, piece], v[:, piece], cache, mask=mask))
            start += size
            cache.lengths_B += size
            cache.longest += size
    exact, plain = attend_exactly(q, k, v, mask), attend_plainly(q, k, v, mask)
    return require_close("output", torch.cat(outputs, 1), exact, output_limit(call.dtype, plain, exact))


def _sequence_cases(subject: Subject) -> Iterable[Case]:
    window = {"lengths": (0, 0), "window": 4} if spec_of(subject).window else {"lengths": (0, 0)}
    for case in _grid({"lengths": (0, 0)}, {"lengths": (0,)}, window)(subject):
        yield Case(f"{case.name}, 7 then 1, 1, 3, 1", {**case.values, "pieces": (7, 1, 1, 3, 1)})


def check_cache_overflow(subject: Subject, case: Case) -> None:
    """Too many tokens raise before anything is written."""
    call: CachedCall = case.values["call"]
    q, k, v = call.inputs(subject.device)
    cache = call.cache(subject.device)
    before = _copy(cache)
    require_refusal("overflow", lambda: subject.backend.attend_cached(q, k, v, cache, mask=call.mask()))
    require_equal("the key cache after a refusal", cache.k_BSGD, before.k_BSGD)
    require_equal("the value cache after a refusal", cache.v_BSGD, before.v_BSGD)
    require_equal("lengths_B after a refusal", cache.lengths_B, before.lengths_B)


def check_cache_host_reads(subject: Subject, case: Case) -> None:
    """No operator makes the host wait for the device."""
    call: CachedCall = case.values["call"]
    q, k, v = call.inputs(subject.device)
    cache = call.cache(subject.device)
    with torch.no_grad():
        subject.backend.attend_cached(q, k, v, _copy(cache), mask=call.mask())  # kernels are built here
        with HostReads() as reads:
            subject.backend.attend_cached(q, k, v, cache, mask=call.mask())
    require(not reads.seen, f"the host waits for the device: {', '.join(reads.seen)}")


def check_cached_refusals(subject: Subject, case: Case) -> None:
    """A cached call that breaks the contract raises and writes nothing."""
    call: CachedCall = case.values["call"]
    q, k, v, cache, mask = case.values["arguments"](call, subject.device)
    before = cache.k_BSGD.clone()
    require_refusal(case.name, lambda: subject.backend.attend_cached(q, k, v, cache, mask=mask))
    require_equal("the key cache after a refusal", cache.k_BSGD, before)


def _refusal_cases(subject: Subject) -> Iterable[Case]:
    def noncausal(call: CachedCall, device: str) -> tuple[Any, ...]:
        return (*call.inputs(device), call.cache(device), Mask(causal=False))

    def segments(call: CachedCall, device: str) -> tuple[Any, ...]:
        numbers_BT = torch.zeros(len(call.lengths), call.tokens, dtype=torch.int64, device=device)
        return (*call.inputs(device), call.cache(device), Mask(segments_BT=numbers_BT))

    def fewer_keys(call: CachedCall, device: str) -> tuple[Any, ...]:
        q, k, v = call.inputs(device)
        return q, k[:, :-1], v[:, :-1], call.cache(device), Mask()

    def other_cache_dtype(call: CachedCall, device: str) -> tuple[Any, ...]:
        cache = call.cache(device)
        other = torch.bfloat16 if cache.k_BSGD.dtype == torch.float32 else torch.float32
        cache.k_BSGD, cache.v_BSGD = cache.k_BSGD.to(other), cache.v_BSGD.to(other)
        return (*call.inputs(device), cache, Mask())

    def other_batch(call: CachedCall, device: str) -> tuple[Any, ...]:
        return (*call.inputs(device), evolve(call, lengths=(3,)).cache(device), Mask())

    ways = (noncausal, segments, fewer_keys, other_cache_dtype, other_batch)
    for case in _grid({"lengths": (3, 3), "tokens": 2}, first_dtype_only=True)(subject):
        for way in ways:
            yield Case(way.__name__.replace("_", " "), {**case.values, "arguments": way})


def check_cached_compiles(subject: Subject, case: Case) -> None:
    """The cached call is one graph under `torch.compile` and writes the cache as the eager one does."""
    call: CachedCall = case.values["call"]
    q, k, v = call.inputs(subject.device)
    longest, uniform, window = max(call.lengths), len(set(call.lengths)) == 1, call.window

    def step(q: Tensor, k: Tensor, v: Tensor, k_held: Tensor, v_held: Tensor, lengths: Tensor) -> Tensor:
        cache = LayerCache(k_held, v_held, lengths, longest, uniform)
        output: Tensor = subject.backend.attend_cached(q, k, v, cache, mask=Mask(window=window))
        return output

    results = []
    with torch.no_grad():
        for function in (step, compiled(step)):
            cache = call.cache(subject.device)
            output = function(q, k, v, cache.k_BSGD, cache.v_BSGD, cache.lengths_B)
            if not isinstance(output, Tensor):
                raise TypeError(f"attend_cached returned {type(output).__name__}")
            results.append((output, cache.k_BSGD))
    require_close("compiled output", results[1][0], results[0][0], 1e-5 if call.dtype == "fp32" else 2e-2)
    require_equal("the key cache after the compiled call", results[1][1], results[0][1])


def _compile_cases(subject: Subject) -> list[Case]:
    if not spec_of(subject).compile_safe:
        return []
    changes: list[dict[str, Any]] = [{"lengths": (3, 3)}, {"lengths": (3, 1), "tokens": 2}]
    return _grid(*changes, first_dtype_only=True)(subject)


_OUTPUTS: tuple[dict[str, Any], ...] = (
    {"lengths": (0, 0), "tokens": 17},
    {"lengths": (0,), "tokens": 1},
    {"lengths": (6, 6)},
    {"lengths": (7, 7), "tokens": 5},
    {"lengths": (5, 2, 9)},
    {"lengths": (0, 7, 3), "tokens": 4},
    {"lengths": (39, 1)},
    {"lengths": (39, 39)},
)
_GROUPED: tuple[dict[str, Any], ...] = (
    {"lengths": (4, 4), "heads": 4},
    {"lengths": (4, 9), "heads": 6, "tokens": 3},
    {"lengths": (0, 0), "heads": 4, "groups": 1, "tokens": 9},
)
_WINDOWED: tuple[dict[str, Any], ...] = tuple(
    {"lengths": lengths, "window": window, "tokens": tokens}
    for window in (0, 1, 5, 60)
    for lengths, tokens in (((12, 12), 1), ((12, 3), 1), ((10, 4), 6), ((0, 0), 17))
)

CACHE_LAWS: tuple[Law, ...] = (
    Law(
        name="cached_output",
        says="Query t of row b sits at len_b + t and sees what row b holds and the new keys up to its own.",
        cases=_grid(*_OUTPUTS),
        check=check_cached_output,
        wrong=wrong.OUTPUT,
    ),
    Law(
        name="cached_grouped_heads",
        says="The cached call groups heads as the training call does.",
        cases=_grid(*_GROUPED, when="gqa"),
        check=check_cached_output,
        wrong=wrong.GROUPED_HEADS,
    ),
    Law(
        name="cached_window",
        says="The window holds in the cached call, at each row's own position.",
        cases=_grid(*_WINDOWED, when="window"),
        check=check_cached_output,
        wrong=wrong.WINDOW,
    ),
    Law(
        name="cached_sequence",
        says="Prefill and steps give what one call over the whole sequence gives.",
        cases=_sequence_cases,
        check=check_cache_sequence,
        wrong=wrong.SEQUENCE,
    ),
    Law(
        name="cache_writes",
        says="New keys and values are written at [len_b, len_b + T) and nowhere else; lengths are not advanced.",
        cases=_grid({"lengths": (0, 0), "tokens": 5}, {"lengths": (6, 6)}, {"lengths": (6, 2, 9), "tokens": 3}),
        check=check_cache_writes,
        wrong=wrong.WRITES,
    ),
    Law(
        name="cache_overflow",
        says="More tokens than the capacity holds are refused before any write.",
        cases=_grid({"lengths": (40, 40)}, {"lengths": (38, 3), "tokens": 3}, {"lengths": (0,), "tokens": 41}),
        check=check_cache_overflow,
        wrong=wrong.OVERFLOW,
    ),
    Law(
        name="cached_host_reads",
        says="The cached call never waits for the device.",
        cases=_grid(
            {"lengths": (6, 6)},
            {"lengths": (6, 2), "tokens": 2},
            {"lengths": (0, 0), "tokens": 5},
            first_dtype_only=True,
        ),
        check=check_cache_host_reads,
        wrong=wrong.HOST_READS,
    ),
    Law(
        name="cached_refusals",
        says="A mask or a cache that does not fit raises a clear error.",
        cases=_refusal_cases,
        check=check_cached_refusals,
        wrong=wrong.REFUSALS,
    ),
    Law(
        name="cached_compiles",
        says="No graph break in the cached call.",
        cases=_compile_cases,
        check=check_cached_compiles,
        wrong=wrong.COMPILES,
    ),
)
