"""The shipped laws, on this backend."""

from __future__ import annotations

from nanoplug.conformance import DeviceLaws


class TestCpu(DeviceLaws):
    backend = "cpu"
