"""The shipped laws, on this backend. They need a GPU; `test_interpreter` holds most of them against it without one."""

from __future__ import annotations

from nanoplug.conformance import KernelLaws


class TestTriton(KernelLaws):
    backend = "triton"


class TestTritonWithSmallChunks(KernelLaws):
    """Chunks that divide no size of the grid."""

    backend = "triton"
    options = {"chunk_rows": 13}
