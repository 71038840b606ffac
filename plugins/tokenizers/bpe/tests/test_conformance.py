"""The shipped laws, on this backend."""

from __future__ import annotations

from nanoplug.conformance import TokenizerLaws


class TestBpe(TokenizerLaws):
    backend = "bpe"
