"""Shards that come while a run reads them: in order, none twice, none half-written, and the same after a resume."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nanoplug.conformance.tokenizer_reference import ReferenceTokenizer
from nanoplug.data.loader import TrainLoader
from nanoplug.data.prefetch import Prefetch
from nanoplug.data.shards import Document, write_shard
from nanoplug.data.source import COMPLETE_NAME, ShardStream, Source
from nanoplug.errors import DataError

MakeFolder = Callable[..., list[Path]]


class Clock:
    """Every look is due."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 100.0
        return self.now


def shard(folder: Path, name: str, documents: int = 3) -> Path:
    """Each document is one row of 8: BOS and the shard's last letter and a digit, repeated."""
    path = folder / f"{name}.parquet"
    texts = [f"{name[-1]}{number % 10}" * 3 + name[-1] for number in range(documents)]
    write_shard(path, [Document("f", text) for text in texts], row_group_documents=1)
    return path


def stream(folder: Path, **changes: Any) -> ShardStream:
    return ShardStream(folder, {"val.parquet"}, **{"clock": Clock(), **changes})


def loader(folder: Path, tokenizer: ReferenceTokenizer, **changes: Any) -> TrainLoader:
    settings = {"batch_size": 1, "sequence_len": 7, "buffer_documents": 1, "tokenizer_batch": 2}
    return TrainLoader((), tokenizer, **{"stream": stream(folder), **settings, **changes})


def documents(source: TrainLoader, tokenizer: ReferenceTokenizer, count: int) -> list[str]:
    return [tokenizer.decode(next(source).inputs_BT[0].tolist())[:2] for _ in range(count)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "stream"
    path.mkdir()
    shard(path, "val")
    return path


def test_shards_that_come_are_read_next_and_none_twice(folder: Path, tokenizer: ReferenceTokenizer) -> None:
    shard(folder, "a")
    source = loader(folder, tokenizer)
    assert documents(source, tokenizer, 2) == ["a0", "a1"]
    shard(folder, "b")
    assert documents(source, tokenizer, 2) == ["a2", "b0"]
    shard(folder, "d")
    shard(folder, "c")
    (folder / COMPLETE_NAME).touch()
    assert documents(source, tokenizer, 8) == ["b1", "b2", "c0", "c1", "c2", "d0", "d1", "d2"]
    # Only now does the next epoch begin, in the same order.
    assert documents(source, tokenizer, 12) == [f"{name}{n}" for name in "abcd" for n in range(3)]
    assert next(source).epoch == 2


def test_what_comes_after_the_end_is_not_read(folder: Path, tokenizer: ReferenceTokenizer) -> None:
    shard(folder, "a")
    (folder / COMPLETE_NAME).touch()
    source = loader(folder, tokenizer)
    assert documents(source, tokenizer, 1) == ["a0"]
    shard(folder, "b")
    assert documents(source, tokenizer, 5) == ["a1", "a2", "a0", "a1", "a2"]


def test_a_shard_that_is_being_written_is_waited_for(
    folder: Path, tokenizer: ReferenceTokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    shard(folder, "a", 2)
    whole = shard(folder, "b", 2).read_bytes()
    (folder / "b.parquet").write_bytes(whole[: len(whole) // 2])
    (folder / ".c.parquet.tmp").write_bytes(whole)
    (folder / "c.parquet.tmp").write_bytes(whole)
    shard(folder, "e", 2)  # behind b, so that the order stays that of the names
    source = loader(folder, tokenizer)
    with caplog.at_level(logging.WARNING):
        assert documents(source, tokenizer, 2) == ["a0", "a1"]
    assert "b.parquet is not whole yet and is waited for" in caplog.text
    (folder / "b.parquet").write_bytes(whole)
    assert documents(source, tokenizer, 4) == ["b0", "b1", "e0", "e1"]


def test_what_is_waited_for_is_said_once(
    folder: Path, tokenizer: ReferenceTokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    shard(folder, "a")
    (folder / "b.parquet").write_bytes(b"PAR1")
    source = Source((), tokenizer, stream=stream(folder, poll_s=0.0))
    for _ in range(5):
        source.look()
        source.wait()
    assert [record.message.split()[0] for record in caplog.records] == ["b.parquet", "all"]


def test_a_shard_for_validation_that_comes_late_is_not_trained_on(folder: Path, tokenizer: ReferenceTokenizer) -> None:
    shard(folder, "a")
    source = Source((), tokenizer, stream=stream(folder))
    shard(folder, "val_2")
    shard(folder, "w")
    source.look()
    assert [entry[0] for entry in source.listing] == ["a.parquet", "w.parquet"]


def test_a_damaged_shard_of_a_stream_that_is_complete(folder: Path, tokenizer: ReferenceTokenizer) -> None:
    shard(folder, "a")
    (folder / "b.parquet").write_bytes(b"PAR1")
    (folder / COMPLETE_NAME).touch()
    with pytest.raises(DataError, match=r"b\.parquet is not a whole parquet file"):
        loader(folder, tokenizer)


def test_a_stream_that_had_ended_stays_ended(folder: Path, tokenizer: ReferenceTokenizer) -> None:
    shard(folder, "a")
    (folder / COMPLETE_NAME).touch()
    state = loader(folder, tokenizer).state
    (folder / COMPLETE_NAME).unlink()
    again = loader(folder, tokenizer)
    assert not again._source.ended
    again.load_states([state])
    assert again._source.ended
    assert documents(again, tokenizer, 4) == ["a0", "a1", "a2", "a0"]


def test_a_stream_goes_on_although_more_has_come(folder: Path, tokenizer: ReferenceTokenizer) -> None:
    shard(folder, "b", 4)
    source = loader(folder, tokenizer)
    documents(source, tokenizer, 2)
    state = json.loads(json.dumps(source.state))
    shard(folder, "a", 2)  # its name is before, but it came later
    shard(folder, "c", 2)
    (folder / COMPLETE_NAME).touch()
    again = loader(folder, tokenizer)
    again.load_states([state])
    expected = ["b2", "b3", "a0", "a1", "c0", "c1", "b0"]
    assert documents(again, tokenizer, 7) == expected
    assert documents(source, tokenizer, 7) == expected
    third = loader(folder, tokenizer)
    third.load_states([json.loads(json.dumps(again.state))])
    assert documents(third, tokenizer, 9) == documents(again, tokenizer, 9)


def test_a_stream_goes_on_although_a_name_between_is_being_written(folder: Path, tokenizer: ReferenceTokenizer) -> None:
    for name in "ac":
        shard(folder, name, 2)
    source = loader(folder, tokenizer)
    assert documents(source, tokenizer, 1) == ["a0"]
    (folder / "b.parquet").write_bytes(b"PAR1")
    again = loader(folder, tokenizer)
    again.load_states([source.state])
    assert documents(again, tokenizer, 3) == ["a1", "c0", "c1"]


def test_a_stream_that_has_changed_or_lost_a_shard(folder: Path, tokenizer: ReferenceTokenizer) -> None:
    shard(folder, "a", 2)
    shard(folder, "b", 2)
    state = loader(folder, tokenizer).state
    shard(folder, "a", 3)
    (folder / "b.parquet").unlink()
    with pytest.raises(DataError) as caught:
        loader(folder, tokenizer).load_states([state])
    assert "a.parquet has changed" in str(caught.value)
    assert "b.parquet is missing" in str(caught.value)


def test_without_a_stream_a_new_shard_is_an_error(folder: Path, tokenizer: ReferenceTokenizer) -> None:
    first = shard(folder, "a", 2)
    plain = {"stream": None, "batch_size": 1, "sequence_len": 7}
    state = TrainLoader([first], tokenizer, **plain).state  # type: ignore[arg-type]
    more = TrainLoader([first, shard(folder, "b", 2)], tokenizer, **plain)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="not those that the state was made from") as caught:
        more.load_states([state])
    assert "b.parquet is new" in str(caught.value)


def test_ranks_of_a_stream_share_it_out_whenever_they_look(folder: Path, tokenizer: ReferenceTokenizer) -> None:
    """Each rank comes to know the shards in another order; every document still is one rank's."""
    shard(folder, "a", 5)
    ranks = [loader(folder, tokenizer, rank=rank, world_size=2) for rank in range(2)]
    shard(folder, "c", 5)
    ranks[0]._source.look()
    shard(folder, "b", 5)
    (folder / COMPLETE_NAME).touch()
    seen = []
    for each in ranks:
        while True:
            batch = next(each)
            if each._stream.position.epoch > 0:
                break
            seen.append(tokenizer.decode(batch.inputs_BT[0].tolist())[:2])
    assert sorted(seen) == sorted(f"{name}{n}" for name in "abc" for n in range(5))


def test_waiting_for_a_shard_ends_when_the_loader_is_closed(
    folder: Path, tokenizer: ReferenceTokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    shard(folder, "a", 2)
    source = loader(folder, tokenizer, stream=stream(folder, clock=time.monotonic, poll_s=1000.0))
    before = threading.active_count()
    with Prefetch(source, stop=source.close) as batches:
        next(batches), next(batches)
        time.sleep(0.1)
    assert threading.active_count() == before
    assert "waiting for more shards" in caplog.text


def test_looks_are_a_while_apart(folder: Path, tokenizer: ReferenceTokenizer) -> None:
    shard(folder, "a", 2)
    now = [0.0]
    source = Source((), tokenizer, stream=stream(folder, clock=lambda: now[0], poll_s=30.0))
    shard(folder, "b", 2)
    now[0] = 29.0
    assert not source.look()
    now[0] = 31.0
    assert source.look()
    assert [entry[0] for entry in source.listing] == ["a.parquet", "b.parquet"]


def test_two_shards_of_one_name(tmp_path: Path, tokenizer: ReferenceTokenizer) -> None:
    paths = []
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        paths.append(shard(tmp_path / name, "a"))
    with pytest.raises(DataError, match=r"two training shards are named a\.parquet"):
        Source(paths, tokenizer)
