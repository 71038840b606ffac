"""Every device law holds on a plain right device and rejects each of its wrong ones."""

from __future__ import annotations

import pytest
import torch

from nanoplug.conformance.device_laws import LAWS
from nanoplug.conformance.device_wrong import PlainDevice
from nanoplug.conformance.law import Law, Subject, survivors, verify
from nanoplug.errors import PluginError
from nanoplug.spec import DeviceSpec

SPEC = DeviceSpec(name="plain", summary="", load="", device_type="cpu", dtypes={"fp32", "bf16"})
BY_NAME = {law.name: law for law in LAWS}


def subject(backend: object) -> Subject:
    return Subject(kind="device", name="plain", spec=SPEC, backend=backend)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_right_device_passes(law: Law) -> None:
    broken = [outcome for outcome in verify([law], subject(PlainDevice())) if not outcome.ok or outcome.skipped]
    assert not broken


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_every_wrong_device_is_rejected(law: Law) -> None:
    assert law.wrong
    assert survivors(law, subject(PlainDevice())) == []


def test_close_is_judged_last() -> None:
    assert LAWS[-1].name == "close"


def test_a_refusal_to_compile_is_legal_only_where_it_is_not_the_default() -> None:
    class Refuses(PlainDevice):
        default = False

        def compile(self, function: object) -> object:  # type: ignore[override]
            raise PluginError("no compiler here")

        def compiles_by_default(self) -> bool:
            return self.default

    class RefusesItsDefault(Refuses):
        default = True

    assert all(outcome.ok for outcome in verify([BY_NAME["compile"]], subject(Refuses())))
    assert not any(outcome.ok for outcome in verify([BY_NAME["compile"]], subject(RefusesItsDefault())))


def test_declared_dtypes_are_held_against_the_device() -> None:
    spec = DeviceSpec(name="plain", summary="", load="", device_type="cpu", dtypes={"fp32", "bf16", "fp16"})
    outcomes = verify(
        [BY_NAME["compute-dtype"]], Subject(kind="device", name="plain", spec=spec, backend=PlainDevice())
    )
    assert [outcome.case for outcome in outcomes if not outcome.ok] == ["fp16"]


def test_really_compiled_function_passes() -> None:
    class Compiles(PlainDevice):
        def compile(self, function: object) -> object:  # type: ignore[override]
            return torch.compile(function, dynamic=False, backend="aot_eager")  # type: ignore[call-overload]

    assert all(outcome.ok for outcome in verify([BY_NAME["compile"]], subject(Compiles())))
