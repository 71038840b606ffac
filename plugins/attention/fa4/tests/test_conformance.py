"""The shipped laws, on this backend."""

from __future__ import annotations

from nanoplug.conformance import AttentionLaws


class TestFa4(AttentionLaws):
    backend = "fa4"
