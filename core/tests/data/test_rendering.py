from __future__ import annotations

import pytest

from nanoplug.conformance.tokenizer_reference import ReferenceTokenizer
from nanoplug.data.rendering import DocumentKey, PlainRendering, bos_id, tokenize
from nanoplug.errors import DataError


def test_every_document_is_led_by_bos(tokenizer: ReferenceTokenizer) -> None:
    empty, some = tokenize(tokenizer, ["", "int x"], threads=1)
    assert empty.tolist() == [bos_id(tokenizer)]
    assert some.tolist() == [tokenizer.special["<|bos|>"], *tokenizer.encode("int x")]


def test_a_tokenizer_without_bos(tokenizer: ReferenceTokenizer) -> None:
    other = ReferenceTokenizer()
    other.special = {"<|endoftext|>": 7}
    assert bos_id(other) == 7
    other.special = {}
    with pytest.raises(DataError, match="must lead each document"):
        bos_id(other)


@pytest.mark.parametrize("row_tokens", [None, 5])
def test_a_plain_rendering_is_the_same_for_every_key(row_tokens: int | None, tokenizer: ReferenceTokenizer) -> None:
    rendering = PlainRendering(tokenizer)
    texts = ["", "int a; return b;"]
    pieces = rendering.render(texts, [DocumentKey(0, 0, 0), DocumentKey(0, 0, 1)], row_tokens=row_tokens, threads=1)
    again = rendering.render(texts, [DocumentKey(7, 5, 3), DocumentKey(0, 2, 1)], row_tokens=row_tokens, threads=2)
    assert [[part.tolist() for part in parts] for parts in pieces] == [
        [part.tolist() for part in parts] for parts in again
    ]
    ids = [id for part in pieces[1] for id in part[1:].tolist()]
    assert tokenizer.decode(ids) == texts[1]
    assert all(part[0] == bos_id(tokenizer) and len(part) <= (row_tokens or 99) for part in pieces[1])


def test_identity_tells_tokenizers_apart(tokenizer: ReferenceTokenizer) -> None:
    assert PlainRendering(tokenizer).identity == PlainRendering(tokenizer).identity
    assert PlainRendering(tokenizer).identity != PlainRendering(ReferenceTokenizer()).identity
