from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nanoplug.corpus.build import read_report
from nanoplug.data.shards import Document, open_shards, split_shards, texts_of
from nanoplug.errors import ConfigError, DataError


def sides(folder: Path) -> tuple[set[str], set[str]]:
    train, val = split_shards(folder)
    return set(texts_of(open_shards(train))), set(texts_of(open_shards(val)))


def test_whole_projects_are_held_out(tmp_path: Path, output: Any) -> None:
    made = output.documents(20)
    split, _ = output.write(tmp_path / "out", made)
    train, val = sides(tmp_path / "out")
    assert train | val == {document.text for document in made}
    assert not train & val
    assert len(split.val_projects) in range(1, 10)
    assert val == {document.text for document in made if document.project in split.val_projects}
    assert (split.train_documents, split.val_documents) == (len(train), len(val))
    assert split.train_bytes == sum(len(text.encode()) for text in train)


def test_of_one_project_what_was_added_so(tmp_path: Path, output: Any) -> None:
    output.write(tmp_path / "out", output.documents(1), held_out="f1.cc")
    assert sides(tmp_path / "out")[1] == {"int f1p0() {} // ü"}


def test_columns_and_report(tmp_path: Path, output: Any) -> None:
    import pyarrow.parquet as pq

    made = output.documents(4)
    output.write(tmp_path / "out", made, pairs=output.pairs)
    rows = [row for path in sorted((tmp_path / "out").glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    assert {Document(row["path"], row["text"], row["project"], row["usr"]) for row in rows} == set(made)
    report = read_report(tmp_path / "out")
    assert report is not None
    assert report.skipped == {"too short": 2}
    assert "val_projects" in json.loads((tmp_path / "out" / "data.json").read_text())["index"]


def test_pairs_of_held_out_projects_are_not_written(tmp_path: Path, output: Any) -> None:
    split, _ = output.write(tmp_path / "out", output.documents(2), pairs=output.pairs)
    (kept,) = {"p0", "p1"} - set(split.val_projects)
    lines = (tmp_path / "out" / "fim_pairs.jsonl").read_text().splitlines()
    assert [json.loads(line)["docstring"] for line in lines] == [output.pairs[kept][0].docstring]
    assert split.pairs == 1


def test_order_does_not_depend_on_the_order_of_coming(tmp_path: Path, output: Any) -> None:
    made = output.documents(20)
    output.write(tmp_path / "one", made)
    output.write(tmp_path / "two", made[::-1])
    for name in ("train_00000.parquet", "val.parquet", "data.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    train = texts_of(open_shards(split_shards(tmp_path / "one")[0]))
    assert sorted(texts := list(train)) != texts


def test_several_shards(tmp_path: Path, output: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nanoplug.corpus.training_shards.SHARD_BYTES", 100)
    split, _ = output.write(tmp_path / "out", output.documents(20))
    assert split.train_shards == len(list((tmp_path / "out").glob("train_*.parquet"))) > 3


@pytest.mark.parametrize("projects", [0, 1])
def test_nothing_on_one_side(tmp_path: Path, output: Any, projects: int) -> None:
    with pytest.raises(DataError, match="there must be some of both"):
        output.write(tmp_path / "out", output.documents(projects))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_impossible_fractions(tmp_path: Path, output: Any, fraction: float) -> None:
    with pytest.raises(ConfigError, match="val_fraction"):
        output.write(tmp_path / "out", [], val_fraction=fraction)
