from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nanoplug.conformance.tokenizer_reference import ReferenceTokenizer
from nanoplug.data.deal import Deal, Position
from nanoplug.data.documents import DocumentStream
from nanoplug.data.packing import Packable
from nanoplug.data.rendering import PlainRendering
from nanoplug.data.source import Source
from nanoplug.data.tasks import RenderText
from nanoplug.errors import ContractError, DataError

MakeShards = Callable[..., list[Path]]


def stream(
    paths: list[Path],
    tokenizer: ReferenceTokenizer,
    *,
    rank: int = 0,
    world_size: int = 1,
    row_tokens: int | None = None,
    batch_documents: int = 3,
) -> DocumentStream:
    source = Source(paths, tokenizer)
    render = RenderText(PlainRendering(tokenizer), row_tokens=row_tokens, threads=1)
    deal = Deal(source, rank, world_size)
    return DocumentStream(source, deal, render, row_tokens=row_tokens, batch_documents=batch_documents)


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
        other = stream(paths, tokenizer, row_tokens=row_tokens, batch_documents=1 + start % 5)
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
    for position in (Position(group=99), Position(group=1, row=-1), Position(epoch=-1)):
        with pytest.raises(DataError, match="no place in the training shards"):
            source.seek(position)
    for ref in ((0, 99, 0, 0), (0, 0, 99, 0), (0, 0, 0, 5)):
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
    with pytest.raises(ContractError, match="rank 2 of 2"):
        stream(paths, tokenizer, rank=2, world_size=2)
    with pytest.raises(ContractError, match="tokenizer_batch is 0"):
        stream(paths, tokenizer, batch_documents=0)
