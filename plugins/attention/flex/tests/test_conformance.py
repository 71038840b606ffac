"""The shipped laws: on the GPU as it runs there; on the CPU with what the GPU compiles taken apart."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from attrs import evolve
from nanoplug_attention_flex.attention import FlexAttention
from nanoplug_attention_flex.fused import Run, fused
from nanoplug_attention_flex.manifest import nanoplug_attention
from nanoplug_attention_flex.unfused import attend_unfused

from nanoplug.conformance import AttentionLaws
from nanoplug.conformance.law import Law, Subject


@cache
def on_cpu(run: Run, **changes: Any) -> Subject:
    (spec,) = nanoplug_attention()
    backend = FlexAttention(run=run)
    return Subject(kind="attention", name="flex", spec=evolve(spec, **changes), backend=backend, device="cpu")


class TestFlex(AttentionLaws):
    backend = "flex"


class TestFlexWrittenOut(AttentionLaws):
    """Masks, block masks, padding and the cache, gradients included; the kernel itself is written out."""

    backend = "flex"

    @classmethod
    def subject(cls) -> Subject:
        return on_cpu(attend_unfused, memory="quadratic", compile_safe=False)


FUSED_IN_NAME_ONLY = fused(backend="eager")


class TestFlexForward(AttentionLaws):
    """torch's own flex_attention, captured as for a GPU and then run operator by operator: it has no backward here."""

    backend = "flex"

    @classmethod
    def subject(cls) -> Subject:
        return on_cpu(FUSED_IN_NAME_ONLY, memory="quadratic", backward=False, dtypes=frozenset({"fp32"}))

    def test_law(self, law: Law) -> None:
        if law.name == "cached_host_reads":
            pytest.skip(
                "a watcher of operators looks into what would be one kernel; TestFlexWrittenOut judges the rest"
            )
        super().test_law(law)
