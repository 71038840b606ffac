"""The shipped laws, on this backend."""

from __future__ import annotations

from nanoplug.conformance import AttentionLaws


class TestChunked(AttentionLaws):
    backend = "chunked"


class TestChunkedWithSmallChunks(AttentionLaws):
    """Chunks that divide no size of the grid, and windows on both sides of them."""

    backend = "chunked"
    options = {"chunk_rows": 16}
