from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nanoplug.conformance.tokenizer_reference import ReferenceTokenizer
from nanoplug.data.documents import DocumentStream, Position, bos_id, tokenize
from nanoplug.data.packing import Packable
from nanoplug.data.shards import open_shards
from nanoplug.errors import ContractError, DataError

MakeShards = Callable[..., list[Path]]


def stream(paths: list[Path], tokenizer: ReferenceTokenizer, **settings: Any) -> DocumentStream:
    defaults = {"rank": 0, "world_size": 1, "row_tokens": None, "tokenizer_batch": 3, "tokenizer_threads": 1}
    return DocumentStream(open_shards(paths), tokenizer, **{**defaults, **settings})


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


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_ranks_share_out_each_epoch(
    world_size: int, tokenizer: ReferenceTokenizer, texts: list[str], make_shards: MakeShards
) -> None:
    paths = make_shards(texts, row_group_documents=3)
    for epoch in range(2):
        seen = []
        for rank in range(world_size):
            source = stream(paths, tokenizer, rank=rank, world_size=world_size)
            documents: list[tuple[int, Packable]] = []
            while len(documents) < 160:
                document = source.next()
                documents.append((source.position.epoch, document))
            of_epoch = [tokenizer.decode(document.tokens.tolist()) for at, document in documents if at == epoch]
            seen += of_epoch
        assert sorted(seen) == sorted(texts)


@pytest.mark.parametrize("row_tokens", [None, 5])
def test_any_position_can_be_gone_to(
    row_tokens: int | None, tokenizer: ReferenceTokenizer, texts: list[str], make_shards: MakeShards
) -> None:
    paths = make_shards(texts[:9], row_group_documents=2)
    source = stream(paths, tokenizer, row_tokens=row_tokens)
    positions: list[Position] = []
    documents: list[Packable] = []
    for _ in range(120):
        positions.append(source.position)
        documents.append(source.next())
    assert positions[-1].epoch > 0
    for start in range(0, 110, 3):
        other = stream(paths, tokenizer, row_tokens=row_tokens, tokenizer_batch=1 + start % 5)
        other.seek(positions[start])
        for expected in documents[start : start + 8]:
            got = other.next()
            assert (got.ref, got.tokens.tolist()) == (expected.ref, expected.tokens.tolist())


@pytest.mark.parametrize("row_tokens", [None, 5])
def test_documents_can_be_fetched_again(
    row_tokens: int | None, tokenizer: ReferenceTokenizer, texts: list[str], make_shards: MakeShards
) -> None:
    source = stream(make_shards(texts[:9]), tokenizer, row_tokens=row_tokens)
    documents = [source.next() for _ in range(40)][::-3]
    documents.append(documents[0])
    again = source.fetch([document.ref for document in documents])
    assert [part.tokens.tolist() for part in again] == [document.tokens.tolist() for document in documents]


def test_no_such_place(tokenizer: ReferenceTokenizer, texts: list[str], make_shards: MakeShards) -> None:
    source = stream(make_shards(texts), tokenizer, rank=1, world_size=2)
    for position in (Position(group=0), Position(group=99), Position(group=1, row=-1)):
        with pytest.raises(DataError, match="no place in the training shards"):
            source.seek(position)
    for ref in ((99, 0, 0), (0, 99, 0), (0, 0, 5)):
        with pytest.raises(DataError, match="not in"):
            source.fetch([ref])


def test_more_ranks_than_row_groups(tokenizer: ReferenceTokenizer, make_shards: MakeShards) -> None:
    paths = make_shards(["a", "b"])
    stream(paths, tokenizer, rank=1, world_size=2)
    with pytest.raises(DataError, match="rank 2 of 3 has nothing to read") as caught:
        stream(paths, tokenizer, rank=2, world_size=3)
    assert "fewer ranks" in str(caught.value)


def test_wrong_settings(tokenizer: ReferenceTokenizer, make_shards: MakeShards) -> None:
    paths = make_shards(["a", "b"])
    for settings in ({"rank": 2, "world_size": 2}, {"tokenizer_batch": 0}, {"tokenizer_threads": 0}):
        with pytest.raises(ContractError):
            stream(paths, tokenizer, **settings)
