"""The shipped laws, on this backend."""

from __future__ import annotations

from nanoplug.conformance import KernelLaws


class TestTorch(KernelLaws):
    backend = "torch"
