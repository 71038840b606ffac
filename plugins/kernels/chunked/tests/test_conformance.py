"""The shipped laws, on this backend."""

from __future__ import annotations

from nanoplug.conformance import KernelLaws


class TestChunked(KernelLaws):
    backend = "chunked"


class TestChunkedWithSmallChunks(KernelLaws):
    """Chunks that divide no size of the grid."""

    backend = "chunked"
    options = {"chunk_rows": 200}
