"""Every attention law, those of the cached call too, holds on a right backend and rejects its wrong ones."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from attrs import evolve
from torch import Tensor

from nanoplug.conformance.attention_laws import LAWS
from nanoplug.conformance.attention_wrong import AlwaysCausal, Right
from nanoplug.conformance.law import Law, Subject, survivors, verify
from nanoplug.contracts import Mask
from nanoplug.spec import AttentionSpec

WHOLE = AttentionSpec(
    name="plain",
    summary="",
    load="",
    dtypes={"fp32", "bf16", "fp16"},
    window=True,
    gqa=True,
    segments=True,
    cache=True,
    backward=True,
    noncausal=True,
    deterministic=True,
    compile_safe=True,
)
SPECS = {
    "whole": WHOLE,
    "bf16": evolve(WHOLE, dtypes={"bf16"}, memory="linear"),
    "fp16 window": AttentionSpec(
        name="p", summary="", load="", dtypes={"fp16"}, window=True, backward=True, cache=True
    ),
    "least": AttentionSpec(name="p", summary="", load="", memory="chunk", head_dims={64}),
}
BY_NAME = {law.name: law for law in LAWS}


def subject(backend: object, spec: AttentionSpec = WHOLE) -> Subject:
    return Subject(kind="attention", name="plain", spec=spec, backend=backend)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_a_right_backend_passes(law: Law) -> None:
    assert [outcome for outcome in verify([law], subject(Right())) if not outcome.ok] == []


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_wrong_backend_is_rejected_whatever_is_declared(spec: AttentionSpec) -> None:
    assert {law.name: found for law in LAWS if (found := survivors(law, subject(Right(), spec)))} == {}


def test_the_wrong_ones_that_must_be_among_them() -> None:
    names = {f"{law.name}: {wrong.name}" for law in LAWS for wrong in law.wrong}
    assert {
        "window: window one key short",
        "window: window one key long",
        "window: padding leaks into the window",
        "grouped_heads: heads interleaved over groups",
        "hidden_keys: mask of -13.8",
        "cached_output: position of row 0 for all rows",
        "cached_output: mask of the longest row for all rows",
    } <= names


def test_what_is_not_declared_may_not_be_ignored() -> None:
    spec = evolve(WHOLE, noncausal=False)
    law = BY_NAME["undeclared"]
    assert not any(outcome.ok for outcome in verify([law], subject(AlwaysCausal(), spec)))
    assert all(outcome.ok for outcome in verify([law], subject(Right(), spec)))


def test_memory_that_grows_as_declared_passes() -> None:
    class Fused(Right):
        def attend(self, q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, *, mask: Mask) -> Tensor:
            q, k, v = (x.transpose(1, 2) for x in (q_BTHD, k_BSGD, v_BSGD))
            return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)

    spec = AttentionSpec(name="p", summary="", load="", backward=True, memory="linear")
    (outcome,) = verify([BY_NAME["memory"]], subject(Fused(), spec))
    assert outcome.ok
    assert outcome.error is not None
    assert outcome.error < 6


def test_outputs_that_are_not_finite_are_reported_as_infinite() -> None:
    class Nan(Right):
        def mix(self, q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, seen_BTS: Tensor) -> Tensor:
            return torch.full_like(q_BTHD, torch.nan)

    assert {outcome.error for outcome in verify([BY_NAME["causal"]], subject(Nan()))} == {torch.inf}


def test_calls_longer_than_max_tokens_are_not_made() -> None:
    spec = evolve(WHOLE, max_tokens=20)
    cases = [case for law in LAWS[:7] for case in law.cases(subject(Right(), spec))]
    assert cases
    assert all(max(case.values["call"].tokens, case.values["call"].keys) <= 20 for case in cases)
