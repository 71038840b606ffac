from __future__ import annotations

from typing import Any

import pytest

from nanoplug.corpus.source_bytes import SourceBytes
from nanoplug.errors import DataError


def test_cut_by_bytes(hand: Any) -> None:
    hand.file("a.cc", "// ü\nint f;".encode() + b" // \xe9 \0")
    source = SourceBytes(hand.index(), hand.root)
    assert source.cut("a.cc", 3, 5) == "ü"
    assert source.cut("a.cc", 6, 12) == "int f;"
    assert source.cut("a.cc", 3, 4) is None
    assert source.cut("a.cc", 12, 17) is None
    assert source.cut("a.cc", 17, 19) is None


def test_a_file_is_read_once_and_must_be_what_was_indexed(hand: Any) -> None:
    hand.file("a.cc", "int f;")
    hand.file("b.cc", "int g;")
    source = SourceBytes(hand.index(), hand.root)
    assert source.of("a.cc") == b"int f;"
    (hand.root / "a.cc").write_text("int h;")
    (hand.root / "b.cc").write_text("int h;")
    assert source.cut("a.cc", 0, 3) == "int"
    with pytest.raises(DataError, match=r"b\.cc was changed"):
        source.of("b.cc")
