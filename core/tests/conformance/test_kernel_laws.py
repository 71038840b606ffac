"""Every kernel law, those of rms_norm and rotary too, holds on a right kernel and rejects its wrong ones."""

from __future__ import annotations

import pytest
from attrs import evolve

from nanoplug.conformance.kernel_calls import Loss
from nanoplug.conformance.kernel_laws import LAWS
from nanoplug.conformance.kernel_right import Right
from nanoplug.conformance.kernel_wrong import SumIsMean, Uncapped
from nanoplug.conformance.law import Law, Subject, survivors, verify
from nanoplug.spec import KERNEL_OPS, KernelSpec

WHOLE = KernelSpec(
    name="plain",
    summary="",
    load="",
    ops=KERNEL_OPS,
    dtypes={"fp32", "bf16", "fp16"},
    softcap=True,
    reductions={"mean", "sum", "none"},
    backward=True,
    deterministic=True,
    compile_safe=True,
)
SPECS = {
    "whole": WHOLE,
    "bf16": evolve(WHOLE, dtypes={"bf16"}),
    "fp16": evolve(WHOLE, dtypes={"fp16"}, memory="chunk"),
    "linear, mean only": KernelSpec(name="p", summary="", load="", ops={"linear_cross_entropy"}, backward=True),
    "cross entropy, rows only": evolve(WHOLE, ops={"cross_entropy"}, reductions={"none"}, compile_safe=False),
    "no loss": evolve(WHOLE, ops={"rms_norm", "rotary"}, dtypes={"bf16"}),
}
BY_NAME = {law.name: law for law in LAWS}


def subject(backend: object, spec: KernelSpec = WHOLE) -> Subject:
    return Subject(kind="kernel", name="plain", spec=spec, backend=backend)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_a_right_kernel_passes(law: Law) -> None:
    assert [outcome for outcome in verify([law], subject(Right())) if not outcome.ok] == []


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_wrong_kernel_is_rejected_whatever_is_declared(spec: KernelSpec) -> None:
    assert {law.name: found for law in LAWS if (found := survivors(law, subject(Right(), spec)))} == {}


def test_the_wrong_ones_that_must_be_among_them() -> None:
    names = {f"{law.name}: {wrong.name}" for law in LAWS for wrong in law.wrong}
    assert {
        "mean_loss: mean over ignored rows",
        "sum_loss: the mean instead of the sum",
        "softcap_in_fp32: bf16 softcap",
        "memory: autograd keeps every chunk",
        "rms_norm_eps: an eps of its own",
        "bad_targets: checks the upper bound only",
    } <= names


def test_what_is_not_declared_may_not_be_ignored() -> None:
    spec = evolve(WHOLE, softcap=False, reductions={"mean"})
    law = BY_NAME["undeclared"]
    assert all(outcome.ok for outcome in verify([law], subject(Right(), spec)))
    for backend, sign in ((Uncapped(), "softcap 2"), (SumIsMean(), "sum")):
        broken = [outcome.case for outcome in verify([law], subject(backend, spec)) if not outcome.ok]
        assert broken
        assert all(sign in case for case in broken)


def test_laws_of_ops_that_are_not_declared_have_no_cases() -> None:
    only = subject(Right(), evolve(WHOLE, ops={"rotary"}))
    assert {law.name for law in LAWS if list(law.cases(only))} == {
        "rotary",
        "rotary_rows",
        "rotary_gradients",
        "op_refusals",
        "ops_compile",
    }


def test_a_grid_point_with_a_bad_target_is_found() -> None:
    loss = Loss(op="cross_entropy", dtype="fp32", rows=9, vocabulary=5)
    targets_N = loss.targets("cpu")
    assert targets_N.min() == -1
    assert targets_N.max() < 5
