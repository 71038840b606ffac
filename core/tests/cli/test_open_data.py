"""Which shards a run trains on; whole runs on each kind are in tests/training."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nanoplug.cli.open_data import _shards, _stored_validation, open_data
from nanoplug.config import Config, load_config
from nanoplug.conformance.tokenizer_reference import ReferenceTokenizer
from nanoplug.data.shards import Document, write_shard
from nanoplug.errors import CheckpointError, DataError

TOKENIZER = ReferenceTokenizer()


def config(folder: Path, **changes: Any) -> Config:
    return load_config({}, {"data": str(folder), **changes}).config


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in "abc":
        write_shard(tmp_path / f"{name}.parquet", [Document("", "int a;")])
    return tmp_path


def names(paths: Any) -> list[str]:
    return [path.name for path in paths]


def test_the_last_is_for_validation_until_one_is_named_so(folder: Path) -> None:
    training, validation, stream = _shards(config(folder), TOKENIZER, None)
    assert (names(training), names(validation), stream) == (["a.parquet", "b.parquet"], ["c.parquet"], None)
    (folder / "a.parquet").rename(folder / "val_a.parquet")
    training, validation, _ = _shards(config(folder), TOKENIZER, None)
    assert (names(training), names(validation)) == (["b.parquet", "c.parquet"], ["val_a.parquet"])


def test_a_run_keeps_the_validation_shard_that_it_began_with(folder: Path) -> None:
    stored = {"shards": ["b.parquet"]}
    training, validation, _ = _shards(config(folder), TOKENIZER, stored)
    assert (names(training), names(validation)) == (["a.parquet", "c.parquet"], ["b.parquet"])
    training, validation, stream = _shards(config(folder, stream=True), TOKENIZER, stored)
    assert (names(training), names(validation)) == ([], ["b.parquet"])
    assert stream is not None
    assert (stream.folder, stream.validation, stream.poll_s) == (folder, {"b.parquet"}, 30.0)


def test_a_stream_validates_on_the_last_that_is_whole(folder: Path) -> None:
    (folder / "d.parquet").write_bytes(b"PAR1")
    _, validation, stream = _shards(config(folder, stream=True, stream_poll_s=5), TOKENIZER, None)
    assert names(validation) == ["c.parquet"]
    assert stream is not None
    assert stream.poll_s == 5.0
    for name in "ab":
        (folder / f"{name}.parquet").unlink()
    with pytest.raises(DataError, match="holds 1 whole shard"):
        _shards(config(folder, stream=True), TOKENIZER, None)


def test_a_checkpoint_of_an_earlier_form() -> None:
    for loader, validation in (({}, "digest"), ([{}], "digest"), ({}, {"shards": []})):
        checkpoint: Any = SimpleNamespace(folder=Path("x"), state={"loader": loader, "validation": validation})
        with pytest.raises(CheckpointError, match="does not read"):
            _stored_validation(checkpoint)


def test_a_tokenizer_without_the_bytes_of_its_tokens_is_refused_at_once(folder: Path) -> None:
    class Short(ReferenceTokenizer):
        def __init__(self) -> None:
            super().__init__()
            self.bytes_per_token = self.bytes_per_token[:-1]

    device: Any = SimpleNamespace(rank=0, world_size=1)
    with pytest.raises(DataError, match="bits per byte cannot be counted"):
        open_data(config(folder), Short(), device, eval_tokens=100, checkpoint=None)
    with open_data(config(folder), TOKENIZER, device, eval_tokens=100, checkpoint=None).loader as loader:
        assert loader.documents == 2
