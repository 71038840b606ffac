"""Measures contenders at one shape, in turn; one that cannot do it is a row that says so."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from attrs import define, field, frozen

from nanoplug.benching.calls import Call, call_at, result_bytes
from nanoplug.benching.contender import Contender
from nanoplug.benching.shapes import Shape
from nanoplug.benching.timing import in_turn, median, stopwatch
from nanoplug.conformance.on_device import relative_error
from nanoplug.conformance.watch import peak_bytes

MIB = 2**20
WARMUP = 2


@frozen(kw_only=True)
class Terms:
    """How everybody is measured. compiled: under `torch.compile`, those that declare it safe."""

    device: str
    dtype: str
    compiled: bool
    rounds: int


@frozen(kw_only=True)
class Result:
    """One contender at one shape; medians in ms, memory in MiB. failed: why there are none.

    peak_mib: most held at once beyond the inputs, forward and backward. beyond_results_mib: of that, what is neither
    output nor gradient, taken together at the end. Errors are ||got - exact|| / ||exact||, the gradients' the worst.
    """

    contender: Contender
    shape: Shape
    compiled: bool
    forward_ms: float | None = None
    training_ms: float | None = None
    least_ms: float | None = None
    peak_mib: float | None = None
    beyond_results_mib: float | None = None
    output_error: float | None = None
    gradient_error: float | None = None
    failed: str = ""

    @property
    def ms(self) -> float:
        """What it is ranked by: forward and backward, or forward where there is no backward; infinite if it failed."""
        found = self.training_ms if self.training_ms is not None else self.forward_ms
        return math.inf if found is None else found


@define
class _Entrant:
    """A contender on its way through one shape."""

    contender: Contender
    compiled: bool
    forward: Callable[[], Any] | None = None
    training: Callable[[], Any] | None = None
    facts: dict[str, float] = field(factory=dict)
    failed: str = ""


def measure_at(shape: Shape, contenders: Sequence[Contender], terms: Terms) -> list[Result]:
    """A result for each contender, the fastest first, those that failed last."""
    try:
        call = call_at(shape, device=terms.device, dtype=terms.dtype)
        exact = call.exact()
    except Exception as error:
        failed = f"no inputs to measure with: {_in_words(error)}"
        return [Result(contender=one, shape=shape, compiled=False, failed=failed) for one in contenders]
    # A compiler that has seen other shapes may give up on further ones, silently.
    torch.compiler.reset()
    entrants = [_enter(one, shape, call, exact, terms) for one in contenders]
    del exact
    _release()
    training = [one for one in entrants if one.training is not None]
    times = {id(one): _Times() for one in entrants}
    _run_in_turn(training, "training", times, terms)
    _run_in_turn([one for one in entrants if one.forward is not None], "forward", times, terms)
    results = [_result(one, shape, times[id(one)]) for one in entrants]
    del call, entrants, training
    _release()
    return sorted(results, key=lambda result: (result.ms, result.contender.name))


@define
class _Times:
    forward: list[float] = field(factory=list)
    training: list[float] = field(factory=list)


def _enter(contender: Contender, shape: Shape, call: Call, exact: Sequence[Any], terms: Terms) -> _Entrant:
    """Runs it once for its error and once for its memory; that also warms it up."""
    compiled = terms.compiled and contender.spec.compile_safe
    entrant = _Entrant(contender, compiled)
    entrant.failed = contender.excused.get(str(shape), "")
    if entrant.failed:
        return entrant
    try:
        answer = call.answer_of(contender, compiled)
        forward = call.forward(answer)
        run = call.training(answer) if contender.spec.backward else forward
        results = run()
        errors = [relative_error(got, want) for got, want in zip(results, exact, strict=False)]
        if not all(map(math.isfinite, errors)):
            raise ArithmeticError("its results are not all finite")
        entrant.facts["output_error"] = errors[0]
        if len(errors) > 1:
            entrant.facts["gradient_error"] = max(errors[1:])
        kept = result_bytes(call, results)
        del results
        if torch.device(terms.device).type in ("cpu", "cuda"):
            peak = peak_bytes(run, terms.device)
            entrant.facts |= {"peak_mib": peak / MIB, "beyond_results_mib": max(0, peak - kept) / MIB}
        entrant.forward = forward
        entrant.training = run if contender.spec.backward else None
    except Exception as error:
        entrant.failed = _in_words(error)
    _release()
    return entrant


def _run_in_turn(entrants: list[_Entrant], what: str, times: dict[int, _Times], terms: Terms) -> None:
    """Times them; whoever fails is put out, and the others begin again."""
    while entrants:
        broken: list[_Entrant] = []

        def guarded(entrant: _Entrant, broken: list[_Entrant] = broken) -> Callable[[], None]:
            def run() -> None:
                try:
                    getattr(entrant, what)()
                except Exception as error:
                    entrant.failed = _in_words(error)
                    broken.append(entrant)

            return run

        found = in_turn([guarded(one) for one in entrants], stopwatch(terms.device), rounds=terms.rounds, warmup=WARMUP)
        if not broken:
            for entrant, ms in zip(entrants, found, strict=True):
                setattr(times[id(entrant)], what, ms)
            return
        for entrant in broken:
            entrant.forward = entrant.training = None
        _release()
        entrants = [one for one in entrants if one not in broken]


def _result(entrant: _Entrant, shape: Shape, times: _Times) -> Result:
    if entrant.failed:
        return Result(contender=entrant.contender, shape=shape, compiled=entrant.compiled, failed=entrant.failed)
    return Result(
        contender=entrant.contender,
        shape=shape,
        compiled=entrant.compiled,
        forward_ms=median(times.forward) if times.forward else None,
        training_ms=median(times.training) if times.training else None,
        least_ms=min(times.training or times.forward),
        peak_mib=entrant.facts.get("peak_mib"),
        beyond_results_mib=entrant.facts.get("beyond_results_mib"),
        output_error=entrant.facts.get("output_error"),
        gradient_error=entrant.facts.get("gradient_error"),
    )


def _in_words(error: Exception) -> str:
    """One line. CPU builds of torch have no type for memory that cannot be had."""
    text = str(error).strip()
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "not enough memory" in text:
        return "out of memory"
    first = text.splitlines()[0] if text else ""
    return f"{type(error).__name__}: {first}"[:300]


def _release() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
