"""Training from tokens reads the rows that training from the text reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nanoplug.conformance.tokenizer_reference import ReferenceTokenizer
from nanoplug.data.eval_rows import EvalLoader
from nanoplug.data.loader import TrainLoader
from nanoplug.data.rendering import PlainRendering
from nanoplug.data.shards import Document, list_shards, split_shards, write_shard
from nanoplug.data.tokenized_folder import MANIFEST_NAME, read_manifest, tokenize_folder
from nanoplug.errors import DataError


@pytest.fixture
def text(tmp_path: Path, texts: list[str]) -> Path:
    folder = tmp_path / "text"
    folder.mkdir()
    for name, part in (("train_0", texts[:21]), ("train_1", texts[21:35]), ("val", texts[35:])):
        documents = [Document("f", text) for text in part]
        write_shard(folder / f"{name}.parquet", documents, row_group_documents=4)
    return folder


def rows(source: Any) -> list[Any]:
    return [
        [batch.inputs_BT.tolist(), batch.targets_BT.tolist(), batch.epoch]
        for _, batch in zip(range(30), source, strict=False)
    ]


@pytest.mark.parametrize("split", [False, True])
def test_rows_are_those_of_the_text(text: Path, tmp_path: Path, tokenizer: ReferenceTokenizer, split: bool) -> None:
    tokenize_folder(text, tmp_path / "tokens", tokenizer)
    settings: Any = {"batch_size": 2, "sequence_len": 24, "buffer_documents": 6, "split_documents": split}
    for rank in range(2):
        loaders = [
            TrainLoader(split_shards(folder)[0], tokenizer, rank=rank, world_size=2, **settings)
            for folder in (text, tmp_path / "tokens")
        ]
        assert rows(loaders[0]) == rows(loaders[1])


def test_validation_is_that_of_the_text(text: Path, tmp_path: Path, tokenizer: ReferenceTokenizer) -> None:
    tokenize_folder(text, tmp_path / "tokens", tokenizer)
    made = [
        EvalLoader(split_shards(folder)[1], tokenizer, batch_size=2, sequence_len=16)
        for folder in (text, tmp_path / "tokens")
    ]
    assert (made[0].documents, made[0].tokens, made[0].bytes) == (made[1].documents, made[1].tokens, made[1].bytes)
    assert [batch.targets_BT.tolist() for batch in made[0]] == [batch.targets_BT.tolist() for batch in made[1]]
    places = sum(batch.targets_BT.numel() for batch in made[0])
    padding = sum(int((batch.targets_BT < 0).sum()) for batch in made[0])
    assert 0 < made[0].padding_share <= padding / places


def test_another_tokenizer_is_refused(text: Path, tmp_path: Path, tokenizer: ReferenceTokenizer) -> None:
    tokenize_folder(text, tmp_path / "tokens", tokenizer)
    with pytest.raises(DataError, match="was tokenized with another tokenizer") as caught:
        TrainLoader(list_shards(tmp_path / "tokens"), ReferenceTokenizer(), batch_size=1, sequence_len=8)
    assert "--tokenizer-dir" in str(caught.value)


def test_what_is_made_of_text_cannot_be_made_of_tokens(
    text: Path, tmp_path: Path, tokenizer: ReferenceTokenizer
) -> None:
    class Other(PlainRendering):
        identity = {"kind": "other"}

    tokenize_folder(text, tmp_path / "tokens", tokenizer)
    with pytest.raises(DataError, match="needs text"):
        TrainLoader(
            list_shards(tmp_path / "tokens"), tokenizer, batch_size=1, sequence_len=8, rendering=Other(tokenizer)
        )


def test_whole_or_not_at_all(text: Path, tmp_path: Path, tokenizer: ReferenceTokenizer) -> None:
    class Failing(ReferenceTokenizer):
        def encode(self, text: str | bytes) -> list[int]:
            if text.startswith("30:"):  # type: ignore[arg-type]
                raise DataError("stop here")
            return super().encode(text)

    out = tmp_path / "tokens"
    with pytest.raises(DataError, match="stop here"):
        tokenize_folder(text, out, Failing())
    assert not out.exists()
    tokenize_folder(text, out, tokenizer)
    before = (out / MANIFEST_NAME).read_bytes()
    with pytest.raises(DataError, match="stop here"):
        tokenize_folder(text, out, Failing(), rebuild=True)
    assert (out / MANIFEST_NAME).read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text", "tokens"]
    with pytest.raises(DataError, match="holds tokens already"):
        tokenize_folder(out, tmp_path / "again", tokenizer)


def test_shards_that_are_not_what_the_manifest_states(
    text: Path, tmp_path: Path, tokenizer: ReferenceTokenizer
) -> None:
    out = tmp_path / "tokens"
    manifest = tokenize_folder(text, out, tokenizer)
    assert read_manifest(out) == manifest
    assert read_manifest(text) is None
    settings: Any = {"batch_size": 1, "sequence_len": 8}
    for suffix in ("bin", "offsets.npy", "groups.npy"):
        (out / f"train_1.{suffix}").rename(out / f"train_2.{suffix}")
    with pytest.raises(DataError, match=r"train_2\.bin is not in tokens\.json"):
        TrainLoader([out / "train_2.bin"], tokenizer, **settings)
    content = json.loads((out / MANIFEST_NAME).read_text())
    content["shards"][0]["tokens"] += 1
    (out / MANIFEST_NAME).write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"not what tokens\.json beside it states"):
        TrainLoader([out / "train_0.bin"], tokenizer, **settings)
    for damaged in ("{", "[]", '{"format": 1}', '{"format": 9, "shards": []}'):
        (out / MANIFEST_NAME).write_text(damaged)
        with pytest.raises(DataError, match=r"tokens\.json is"):
            read_manifest(out)


def test_a_folder_of_both_kinds(text: Path, tokenizer: ReferenceTokenizer) -> None:
    (text / "train_9.bin").write_bytes(bytes(8))
    with pytest.raises(DataError, match="holds both shards of text"):
        list_shards(text)
