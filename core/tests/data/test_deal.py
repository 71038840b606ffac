"""Whatever the number of ranks, and however often it changes, every document comes exactly once an epoch."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoplug.conformance.tokenizer_reference import ReferenceTokenizer
from nanoplug.data.deal import Change, Deal, Position, deal_anew
from nanoplug.data.documents import DocumentStream
from nanoplug.data.rendering import PlainRendering
from nanoplug.data.source import Source
from nanoplug.data.tasks import RenderText
from nanoplug.errors import ContractError, DataError

TOKENIZER = ReferenceTokenizer()
MakeFolder = Callable[..., list[Path]]
Seen = Counter[tuple[int, int, int, int]]


def stream_of(source: Source, deal: Deal) -> DocumentStream:
    render = RenderText(PlainRendering(TOKENIZER), row_tokens=8, threads=1)
    return DocumentStream(source, deal, render, row_tokens=8, batch_documents=3)


def read(source: Source, changes: tuple[Change, ...], counts: Sequence[int], seen: Seen) -> list[Position]:
    """Rank r of as many as there are counts reads counts[r] pieces; where each then stands."""
    positions = []
    for rank, count in enumerate(counts):
        stream = stream_of(source, Deal(source, rank, len(counts), changes))
        for _ in range(count):
            seen[stream.next().ref] += 1
        positions.append(stream.position)
    return positions


def whole_epoch(source: Source, epoch: int) -> Seen:
    stream = stream_of(source, Deal(source, 0, 1))
    refs: Seen = Counter()
    while stream.position.epoch == 0:
        refs[stream.next().ref] += 1
    return Counter({(epoch, *ref[1:]): count for ref, count in refs.items() if ref[0] == 0})


groups_of_shards = st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=6), min_size=1, max_size=3)
reads_of_phase = st.lists(st.integers(0, 40), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None)
@given(groups_of_shards, st.lists(reads_of_phase, min_size=1, max_size=4))
def test_every_document_comes_exactly_once_an_epoch(
    make_token_folder: MakeFolder, shards: list[list[int]], phases: list[list[int]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        four_groups = [[1], [1], [1], [1]]  # so that each of four ranks has something
        source = Source(make_token_folder(Path(folder), TOKENIZER, [*shards, *four_groups]), TOKENIZER)
        seen: Seen = Counter()
        changes: tuple[Change, ...] = ()
        for counts in phases:
            changes = deal_anew(changes, read(source, changes, counts, seen), source.groups)
        reached = max(place.epoch for place in changes[-1].positions)
        # One more rank's worth of reading, to the end of every epoch that anyone was in, and one whole epoch on top.
        for rank in range(2):
            stream = stream_of(source, Deal(source, rank, 2, changes))
            while stream.position.epoch < reached + 2:
                seen[stream.next().ref] += 1
        for epoch in range(reached + 2):
            expected = whole_epoch(source, epoch)
            assert {ref: n for ref, n in seen.items() if ref[0] == epoch} == expected


def test_changes_that_no_longer_matter_are_dropped(make_token_folder: MakeFolder, tmp_path: Path) -> None:
    source = Source(make_token_folder(tmp_path, TOKENIZER, [[2, 2, 2, 2]]), TOKENIZER)
    first = deal_anew((), [Position(0, 1), Position(1, 2)], source.groups)
    assert len(deal_anew(first, [Position(1, 1)], source.groups)) == 2
    assert len(deal_anew(first, [Position(2, 0), Position(2, 1)], source.groups)) == 1


def test_as_many_ranks_as_before_read_as_before(make_token_folder: MakeFolder, tmp_path: Path) -> None:
    """Rank r of W reads the groups r, r + W, ..."""
    source = Source(make_token_folder(tmp_path, TOKENIZER, [[1, 2], [3, 1, 1]]), TOKENIZER)
    for world_size in (1, 2, 3):
        for rank in range(world_size):
            stream = stream_of(source, Deal(source, rank, world_size))
            groups = []
            while stream.position.epoch == 0:
                ref = stream.next().ref
                groups += [ref[1]] if ref[0] == 0 and ref[1] not in groups else []
            assert groups == list(range(rank, 5, world_size))


def test_no_such_rank_and_a_rank_with_nothing(make_token_folder: MakeFolder, tmp_path: Path) -> None:
    source = Source(make_token_folder(tmp_path, TOKENIZER, [[1, 0, 0]]), TOKENIZER)
    with pytest.raises(ContractError, match="rank 3 of 3"):
        Deal(source, 3, 3)
    with pytest.raises(DataError, match="rank 1 of 3 has nothing to read"):
        stream_of(source, Deal(source, 1, 3))
