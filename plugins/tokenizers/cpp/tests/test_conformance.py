"""The shipped laws, on this backend."""

from __future__ import annotations

from nanoplug.conformance import TokenizerLaws


class TestCpp(TokenizerLaws):
    backend = "cpp"


class TestCppWithSuperwords(TokenizerLaws):
    backend = "cpp"
    options = {"superwords": True}
