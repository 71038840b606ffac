"""The laws through torch_xla on one device, the kernels in Pallas's interpreter."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

os.environ.update(PJRT_DEVICE="CPU", JAX_PLATFORMS="cpu", TPU_SKIP_MDS_QUERY="1")

import pytest
import torch_xla.runtime as runtime
from attrs import evolve
from nanoplug_attention_pallas.attention import PallasAttention
from nanoplug_attention_pallas.manifest import nanoplug_attention
from nanoplug_attention_pallas.through_xla import require_torchax

from nanoplug.conformance.attention_laws import LAWS
from nanoplug.conformance.law import Law, Subject, verify
from nanoplug.errors import PluginError

# The others make inputs or compare in ways that XLA has not (boolean indices), or measure memory of other devices.
SERVED = ("causal", "window", "grouped_heads", "segments", "large_scores", "gradients", "undeclared", "refusals")


@pytest.fixture(scope="module")
def subject() -> Subject:
    runtime.global_runtime_device_count()  # the client has to be there before the first backward
    spec = evolve(nanoplug_attention()[0], dtypes={"fp32"})
    return Subject(kind="attention", name="pallas", spec=spec, backend=PallasAttention(), device="xla")


def test_the_torchax_of_torch_xla_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchax.interop", None)
    require_torchax.cache_clear()
    with pytest.raises(PluginError, match="force-reinstall --no-deps torchax"):
        require_torchax()


@pytest.mark.parametrize("law", [law for law in LAWS if law.name in SERVED], ids=lambda law: law.name)
@pytest.mark.usefixtures("interpreted_flash")
def test_law(law: Law, subject: Subject, interpreter: Callable[[], Any]) -> None:
    with interpreter():
        outcomes = verify([law], subject)
    assert not [f"{one.case}: {one.detail}" for one in outcomes if not one.ok]
    assert not any(one.skipped for one in outcomes)
