"""The laws of an attention backend's training call. Those of the cached call are in `attention_cache_laws`."""

from __future__ import annotations

import torch
from attrs import evolve
from torch import Tensor

from nanoplug.conformance import attention_grid as grid
from nanoplug.conformance import attention_wrong as wrong
from nanoplug.conformance.attention_cache_laws import CACHE_LAWS
from nanoplug.conformance.attention_calls import (
    Call,
    gradient_limit,
    large_score_limit,
    output_limit,
    spec_of,
)
from nanoplug.conformance.attention_oracle import attend_exactly, attend_plainly, visible
from nanoplug.conformance.law import Broken, Case, Law, Measured, Subject
from nanoplug.conformance.measure import (
    REFUSALS,
    compiled,
    full_precision,
    gradients,
    normal,
    require,
    require_close,
    require_equal,
    require_refusal,
    worst_of,
)
from nanoplug.conformance.watch import peak_bytes
from nanoplug.contracts import Mask


def check_output(subject: Subject, case: Case) -> Measured:
    """The output equals the exact one within the dtype's limit, in q's dtype and shape."""
    call: Call = case.values["call"]
    with full_precision(), torch.no_grad():
        q, k, v = call.inputs(subject.device)
        mask = call.mask(subject.device)
        output = subject.backend.attend(q, k, v, mask=mask)
        exact, plain = attend_exactly(q, k, v, mask), attend_plainly(q, k, v, mask)
    require(output.dtype == q.dtype, f"output is {output.dtype}, must be {q.dtype}")
    allowed = large_score_limit if call.scale != 1 else output_limit
    return require_close("output", output, exact, allowed(call.dtype, plain, exact))


def check_gradients(subject: Subject, case: Case) -> Measured:
    """dq, dk and dv equal the exact ones within the dtype's limit."""
    call: Call = case.values["call"]
    upstream = normal(11, call.batch, call.tokens, call.heads, call.head_dim)
    with full_precision():
        leaves = [x.requires_grad_() for x in call.inputs(subject.device)]
        mask = call.mask(subject.device)
        output = subject.backend.attend(*leaves, mask=mask)
        upstream = upstream.to(output)
        got = gradients(output, upstream, leaves)
        q, k, v = exact_leaves = [x.detach().cpu().double().requires_grad_() for x in leaves]
        exact = gradients(attend_exactly(q, k, v, mask), upstream.cpu().double(), exact_leaves)
        q, k, v = plain_leaves = [x.detach().cpu().requires_grad_() for x in leaves]
        plain = gradients(attend_plainly(q, k, v, mask), upstream.cpu(), plain_leaves)
    allowed = [gradient_limit(call.dtype, p, e) for p, e in zip(plain, exact, strict=True)]
    names = ("dq", "dk", "dv")
    return worst_of([require_close(*line) for line in zip(names, got, exact, allowed, strict=True)])


def check_hidden_keys(subject: Subject, case: Case) -> None:
    """Changing keys and values that a query may not see, hugely, changes no bit of its output."""
    call: Call = case.values["call"]
    q, k, v = call.inputs(subject.device)
    mask = call.mask(subject.device)
    with full_precision(), torch.no_grad():
        before = subject.backend.attend(q, k, v, mask=mask)
        seen_TS = visible(mask, 1, call.tokens, k.shape[1])[0]
        for query in (0, call.tokens // 2, call.tokens - 1):
            hidden_S = (~seen_TS[query]).to(k.device)
            k_other, v_other = k.clone(), v.clone()
            k_other[:, hidden_S] = 50 * k[:, hidden_S].flip(-1) + 3
            v_other[:, hidden_S] = -100 * v[:, hidden_S] + 7
            after = subject.backend.attend(q, k_other, v_other, mask=mask)
            require_equal(f"query {query} after its hidden keys changed", after[:, query], before[:, query])


def check_undeclared(subject: Subject, case: Case) -> Measured | None:
    """A capability that is not declared is refused, or served rightly."""
    try:
        return check_output(subject, case)
    except REFUSALS:
        return None


def inside_wider_buffer(x_BTHD: Tensor) -> Tensor:
    """The same values as a view with the heads outside, as a slice of a fused projection has them."""
    buffer_BHTD = torch.zeros(*x_BTHD.transpose(1, 2).shape[:3], x_BTHD.shape[3] + 8).to(x_BTHD)
    view_BTHD = buffer_BHTD[..., : x_BTHD.shape[3]].transpose(1, 2)
    view_BTHD.copy_(x_BTHD)
    return view_BTHD


def check_layout(subject: Subject, case: Case) -> None:
    """Strided views give the same bits as contiguous tensors, and no input is written to."""
    call: Call = case.values["call"]
    inputs, mask = call.inputs(subject.device), call.mask(subject.device)
    spread = [inside_wider_buffer(x) for x in inputs]
    copies = [x.clone() for x in inputs]
    with full_precision(), torch.no_grad():
        want = subject.backend.attend(*copies, mask=mask)
        got = subject.backend.attend(*spread, mask=mask)
    for name, copy, original in zip(("q", "k", "v"), copies, inputs, strict=True):
        require_equal(f"{name} after the call", copy, original)
    plain = attend_plainly(*inputs, mask)
    require_close("output of strided inputs", got, want, output_limit(call.dtype, plain, want.cpu()))


def check_repeats(subject: Subject, case: Case) -> None:
    """Two runs on the same inputs give the same bits, gradients included."""
    call: Call = case.values["call"]
    runs = []
    for _ in range(2):
        leaves = [x.requires_grad_() for x in call.inputs(subject.device)]
        output = subject.backend.attend(*leaves, mask=call.mask(subject.device))
        grads = gradients(output, torch.ones_like(output), leaves) if spec_of(subject).backward else []
        runs.append([output, *grads])
    for name, first, second in zip(("output", "dq", "dk", "dv"), *runs, strict=False):
        require_equal(f"{name} of a second run", second, first)


def check_compiles(subject: Subject, case: Case) -> None:
    """The call is one graph under `torch.compile`, backward included, and gives the eager result."""
    call: Call = case.values["call"]
    mask, backward = call.mask(subject.device), spec_of(subject).backward
    causal, window = mask.causal, mask.window

    def step(q: Tensor, k: Tensor, v: Tensor, segments: Tensor | None) -> Tensor:
        output: Tensor = subject.backend.attend(q, k, v, mask=Mask(causal, window, segments)) * 2
        return output

    results = []
    for function in (step, compiled(step)):
        q, k, v = leaves = [x.requires_grad_(backward) for x in call.inputs(subject.device)]
        output = function(q, k, v, mask.segments_BT)
        if not isinstance(output, Tensor):
            raise TypeError(f"attend returned {type(output).__name__}")
        results.append([output, *(gradients(output, torch.ones_like(output), leaves) if backward else [])])
    for name, eager, graph in zip(("output", "dq", "dk", "dv"), *results, strict=False):
        require_close(f"compiled {name}", graph, eager, 1e-5 if call.dtype == "fp32" else 2e-2)


def check_memory(subject: Subject, case: Case) -> Measured:
    """Four times the tokens take about four times the memory, forward and backward; T x T tensors take sixteen."""
    call: Call = case.values["call"]
    backward = spec_of(subject).backward

    def bytes_at(tokens: int) -> int:
        longer = evolve(call, tokens=tokens)
        leaves = [x.requires_grad_(backward) for x in longer.inputs(subject.device)]
        mask = longer.mask(subject.device)

        def step() -> object:
            output = subject.backend.attend(*leaves, mask=mask)
            return gradients(output, torch.ones_like(output), leaves) if backward else output

        return peak_bytes(step, subject.device)

    ratio = bytes_at(4 * call.tokens) / max(1, bytes_at(call.tokens))
    if ratio > 8:
        detail = f"4 x the tokens take {ratio:.1f} x the memory, more than 8: not {spec_of(subject).memory}"
        raise Broken(detail, error=ratio, limit=8.0)
    return Measured(ratio, 8.0)


def check_refusals(subject: Subject, case: Case) -> None:
    """A call that breaks the contract raises a clear error instead of answering."""
    q, k, v, mask = case.values["arguments"](subject.device)
    require_refusal(case.name, lambda: subject.backend.attend(q, k, v, mask=mask))


LAWS: tuple[Law, ...] = (
    Law(
        name="causal",
        says="A query sees the keys up to its own position, scores scaled by D ** -0.5; the queries are the last of S.",
        cases=grid.causal_cases,
        check=check_output,
        wrong=wrong.CAUSAL,
    ),
    Law(
        name="window",
        says="A window of W shows keys t-W..t, W + 1 of them, whatever the length.",
        cases=grid.window_cases,
        check=check_output,
        wrong=wrong.WINDOW,
    ),
    Law(
        name="grouped_heads",
        says="Query head h reads key/value head h // (H / G).",
        cases=grid.GROUPED_HEADS,
        check=check_output,
        wrong=wrong.GROUPED_HEADS,
    ),
    Law(
        name="noncausal",
        says="With causal=False every query sees every key.",
        cases=grid.NONCAUSAL,
        check=check_output,
        wrong=wrong.NONCAUSAL,
    ),
    Law(
        name="segments",
        says="A query sees keys of its own document only.",
        cases=grid.segment_cases,
        check=check_output,
        wrong=wrong.SEGMENTS,
    ),
    Law(
        name="hidden_keys",
        says="Keys that a query may not see have no influence on it, not one bit.",
        cases=grid.hidden_key_cases,
        check=check_hidden_keys,
        wrong=wrong.HIDDEN_KEYS,
    ),
    Law(
        name="large_scores",
        says="Scores in the thousands give no NaN and no overflow.",
        cases=grid.LARGE_SCORES,
        check=check_output,
        wrong=wrong.LARGE_SCORES,
    ),
    Law(
        name="gradients",
        says="dq, dk and dv are those of the exact operation.",
        cases=grid.gradient_cases,
        check=check_gradients,
        wrong=wrong.GRADIENTS,
    ),
    Law(
        name="rare_head_sizes",
        says="The gradients are right too for declared head sizes that are no multiple of 32.",
        cases=grid.rare_head_dim_cases,
        check=check_gradients,
        wrong=wrong.RARE_HEAD_SIZES,
    ),
    Law(
        name="undeclared",
        says="What is not declared is refused or served rightly, never ignored.",
        cases=grid.undeclared_cases,
        check=check_undeclared,
        wrong=wrong.UNDECLARED,
    ),
    Law(
        name="layout",
        says="Strided inputs give the same result, and no input is written to.",
        cases=grid.LAYOUT,
        check=check_layout,
        wrong=wrong.LAYOUT,
    ),
    Law(
        name="refusals",
        says="Wrong shapes, dtypes and head counts raise a clear error.",
        cases=grid.refusal_cases,
        check=check_refusals,
        wrong=wrong.REFUSALS,
    ),
    Law(
        name="deterministic",
        says="The same inputs give the same bits.",
        cases=grid.DETERMINISTIC,
        check=check_repeats,
        wrong=wrong.DETERMINISTIC,
    ),
    Law(
        name="compiles",
        says="No graph break under torch.compile.",
        cases=grid.compile_cases,
        check=check_compiles,
        wrong=wrong.COMPILES,
    ),
    Law(
        name="memory",
        says="Memory beyond the inputs grows as declared.",
        cases=grid.memory_cases,
        check=check_memory,
        wrong=wrong.MEMORY,
    ),
    *CACHE_LAWS,
)
