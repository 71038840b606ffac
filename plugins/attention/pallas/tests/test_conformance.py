"""The shipped laws, on this backend. They need a TPU; `test_interpreted` and `xla/` do without one."""

from __future__ import annotations

from nanoplug.conformance import AttentionLaws


class TestPallas(AttentionLaws):
    backend = "pallas"
