"""A run goes on exactly as it would have, and on any other number of ranks with no document lost or seen twice."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoplug.conformance.tokenizer_reference import ReferenceTokenizer
from nanoplug.data.loader import Batch, TrainLoader
from nanoplug.data.packing import Packable, Packer
from nanoplug.errors import DataError

MakeFolder = Callable[..., list[Path]]
Seen = Counter[tuple[int, int, int, int]]
TOKENIZER = ReferenceTokenizer()
SHARDS = [[3, 1, 4], [1, 5], [2, 2, 2, 6, 1]]


def loader(paths: Sequence[Path], rank: int, world_size: int, **settings: Any) -> TrainLoader:
    defaults = {"batch_size": 1, "sequence_len": 12, "buffer_documents": 5, "split_documents": True}
    return TrainLoader(paths, TOKENIZER, rank=rank, world_size=world_size, **{**defaults, **settings})


def loaders(paths: Sequence[Path], world_size: int, states: Sequence[Any] | None, **settings: Any) -> list[TrainLoader]:
    made = [loader(paths, rank, world_size, **settings) for rank in range(world_size)]
    for each in made if states is not None else []:
        each.load_states(json.loads(json.dumps(states)))
    return made


def content(batch: Batch) -> list[Any]:
    return [batch.inputs_BT.tolist(), batch.targets_BT.tolist()]


@settings(max_examples=60, deadline=None)
@given(st.data(), st.booleans())
def test_each_document_is_used_exactly_once_an_epoch_however_the_ranks_change(
    make_token_folder: MakeFolder, data: st.DataObject, split: bool
) -> None:
    seen: Seen = Counter()
    take = Packer._take

    def spied(packer: Packer, room: int) -> Packable:
        document = take(packer, room)
        seen[document.ref] += 1
        return document

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Packer, "_take", spied)
        paths = make_token_folder(Path(folder), TOKENIZER, SHARDS)
        states: list[Any] | None = None
        for world_size in data.draw(st.lists(st.integers(1, 4), min_size=2, max_size=4)):
            ranks = loaders(paths, world_size, states, split_documents=split)
            for each in ranks:
                for _ in range(data.draw(st.integers(0, 9))):
                    next(each)
            states = [each.state for each in ranks]
        assert states is not None
        for each in ranks:  # so that an epoch is whole, whatever was drawn
            while each.state["position"]["epoch"] < 2:
                next(each)
        buffered: Seen = Counter(tuple(ref) for each in ranks for ref in each.state["buffer"])
        for epoch in (0, 1):
            of_epoch = {ref[1:]: n for ref, n in (seen + buffered).items() if ref[0] == epoch}
            assert of_epoch == dict.fromkeys(every_piece(paths, split), 1)


def every_piece(paths: Sequence[Path], split: bool) -> list[tuple[int, ...]]:
    """From the definition: one rank reads all."""
    stream = loader(paths, 0, 1, split_documents=split)._stream
    refs = []
    while stream.position.epoch == 0:
        refs.append(stream.next().ref)
    return [ref[1:] for ref in refs if ref[0] == 0]


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_as_many_ranks_go_on_exactly(make_token_folder: MakeFolder, tmp_path: Path, world_size: int) -> None:
    paths = make_token_folder(tmp_path, TOKENIZER, SHARDS)
    ranks = loaders(paths, world_size, None)
    for each in ranks:
        for _ in range(4):
            next(each)
    states = [each.state for each in ranks]
    expected = [[content(next(each)) for _ in range(30)] for each in ranks]
    again = loaders(paths, world_size, states[::-1])
    assert [each.state for each in again] == states
    assert [[content(next(each)) for _ in range(30)] for each in again] == expected


def test_going_on_elsewhere_is_itself_exactly_resumable(make_token_folder: MakeFolder, tmp_path: Path) -> None:
    paths = make_token_folder(tmp_path, TOKENIZER, SHARDS)
    states: list[Any] | None = None
    for world_size in (3, 2, 4):
        ranks = loaders(paths, world_size, states)
        for each in ranks:
            for _ in range(3):
                next(each)
        states = [each.state for each in ranks]
    expected = [[content(next(each)) for _ in range(30)] for each in ranks]
    again = loaders(paths, 4, states)
    assert [[content(next(each)) for _ in range(30)] for each in again] == expected


def test_counts_go_on(make_token_folder: MakeFolder, tmp_path: Path) -> None:
    paths = make_token_folder(tmp_path, TOKENIZER, SHARDS)
    ranks = loaders(paths, 3, None)
    for each in ranks:
        for _ in range(4):
            next(each)
    counted = [each.counts for each in loaders(paths, 2, [each.state for each in ranks])]
    for name in ("rows", "tokens", "documents", "cropped_tokens", "places"):
        assert sum(getattr(counts, name) for counts in counted) == sum(getattr(each.counts, name) for each in ranks)


def test_states_that_do_not_belong_together(make_token_folder: MakeFolder, tmp_path: Path) -> None:
    paths = make_token_folder(tmp_path, TOKENIZER, SHARDS)
    states = [each.state for each in loaders(paths, 3, None)]
    target = loader(paths, 0, 2)
    for given_states in (states[:2], [states[0], states[0], states[2]], []):
        with pytest.raises(DataError, match="those of all"):
            target.load_states(given_states)
    moved = loaders(paths, 3, [each.state for each in loaders(paths, 2, None)])
    with pytest.raises(DataError, match="different runs"):
        target.load_states([states[0], states[1], moved[2].state])
    with pytest.raises(DataError, match="not written by this version"):
        target.load_states([{"format": 1}])
    with pytest.raises(DataError, match="damaged"):
        target.load_states([{**states[0], "position": {"epoch": 0, "page": 1}}])
    other = [each.state for each in loaders(paths, 3, None, buffer_documents=7)]
    with pytest.raises(DataError, match="buffer_documents: 7 -> 5"):
        target.load_states(other)
