from __future__ import annotations

from typing import Any

from nanoplug.inference.detokenize import Detokenizer

TEXT = 'auto x = "é→🙂";\n\tint y{1};'


def test_text_arrives_whole_and_no_piece_holds_half_a_character(tokenizer: Any) -> None:
    detokenizer = Detokenizer(tokenizer)
    pieces = [detokenizer.push(token) for token in tokenizer.encode(TEXT)]
    assert "".join(pieces) + detokenizer.finish() == TEXT
    assert "\ufffd" not in "".join(pieces)
    # Each character comes with its last byte, not later.
    assert [len(piece) for piece in pieces[:12]] == [1] * 10 + [0, 1]


def test_specials_are_not_shown(tokenizer: Any) -> None:
    detokenizer = Detokenizer(tokenizer)
    assert detokenizer.push(256) == ""
    assert detokenizer.push(ord("a")) + detokenizer.push(257) + detokenizer.push(ord("b")) == "ab"


def test_bytes_that_are_not_utf8_are_replaced(tokenizer: Any) -> None:
    detokenizer = Detokenizer(tokenizer)
    assert detokenizer.push(0xFF) == "\ufffd"
    assert detokenizer.push(0xE2) == ""
    assert detokenizer.finish() == "\ufffd"
