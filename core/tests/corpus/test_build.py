from __future__ import annotations

import json
from pathlib import Path

import pytest

from nanoplug.corpus.build import REPORT_NAME, build_shards, digest_of, read_report
from nanoplug.corpus.source_files import find_sources
from nanoplug.data.shards import open_shards, split_shards, texts_of
from nanoplug.errors import ConfigError, DataError


def project(root: Path, count: int, start: int = 0) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for number in range(start, start + count):
        (root / f"f{number}.h").write_text(f"int x{number};")
    return root


def texts(folder: Path) -> tuple[list[str], list[str]]:
    train, val = split_shards(folder)
    return list(texts_of(open_shards(train))), list(texts_of(open_shards(val)))


def test_every_file_is_on_one_side(tmp_path: Path) -> None:
    scan = find_sources([project(tmp_path / "proj", 200)])
    report = build_shards(scan, tmp_path / "out", val_fraction=0.2)
    train, val = texts(tmp_path / "out")
    assert sorted(train + val) == sorted(f"int x{number};" for number in range(200))
    assert (report.train_documents, report.val_documents) == (len(train), len(val))
    assert (report.train_bytes, report.val_bytes) == (sum(map(len, train)), sum(map(len, val)))
    assert 20 <= len(val) <= 60
    assert train != sorted(train, key=lambda text: int(text[5:-1]))
    assert read_report(tmp_path / "out") == report
    assert digest_of(scan, 0.2) == report.digest != digest_of(scan, 0.3)


def test_a_file_stays_on_its_side(tmp_path: Path) -> None:
    build_shards(find_sources([project(tmp_path / "a" / "proj", 200)]), tmp_path / "one", val_fraction=0.2)
    grown = project(project(tmp_path / "b" / "proj", 200), 200, start=200)
    build_shards(find_sources([grown]), tmp_path / "two", val_fraction=0.2)
    (_, val), (train_grown, val_grown) = texts(tmp_path / "one"), texts(tmp_path / "two")
    assert set(val) < set(val_grown)
    assert not set(val) & set(train_grown)


def test_the_same_tree_gives_the_same_shards(tmp_path: Path) -> None:
    root = project(tmp_path / "proj", 150)
    digests = []
    for name in ("one", "two"):
        build_shards(find_sources([root]), tmp_path / name)
        train, val = split_shards(tmp_path / name)
        digests.append([path.read_bytes() for path in (*train, *val)])
    assert digests[0] == digests[1]


def test_small_corpora_have_row_groups_for_several_ranks(tmp_path: Path) -> None:
    build_shards(find_sources([project(tmp_path / "proj", 30)]), tmp_path / "out")
    assert len(open_shards(split_shards(tmp_path / "out")[0]).groups) >= 20


def test_large_corpora_have_several_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nanoplug.corpus.training_shards.SHARD_BYTES", 100)
    report = build_shards(find_sources([project(tmp_path / "proj", 60)]), tmp_path / "out")
    train, val = split_shards(tmp_path / "out")
    assert len(train) == report.train_shards > 4
    assert [path.name for path in val] == ["val.parquet"]
    assert len(texts(tmp_path / "out")[0]) == report.train_documents


@pytest.mark.parametrize("fraction", [1e-9, 0.5, 1 - 1e-9])
def test_both_sides_have_a_file(tmp_path: Path, fraction: float) -> None:
    report = build_shards(find_sources([project(tmp_path / "proj", 2)]), tmp_path / "out", val_fraction=fraction)
    assert (report.train_documents, report.val_documents) == (1, 1)


def test_one_file_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is only 1 file"):
        build_shards(find_sources([project(tmp_path / "proj", 1)]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, float("nan")])
def test_impossible_fractions(tmp_path: Path, fraction: float) -> None:
    with pytest.raises(ConfigError, match="val_fraction"):
        build_shards(find_sources([project(tmp_path / "proj", 3)]), tmp_path / "out", val_fraction=fraction)


def test_a_failed_rebuild_keeps_what_was_there(tmp_path: Path) -> None:
    root = project(tmp_path / "proj", 20)
    build_shards(find_sources([root]), tmp_path / "out")
    before = texts(tmp_path / "out")
    scan = find_sources([root])
    (root / "f7.h").write_text("changed meanwhile")
    with pytest.raises(DataError, match="was changed while"):
        build_shards(scan, tmp_path / "out", rebuild=True)
    assert texts(tmp_path / "out") == before
    build_shards(find_sources([root]), tmp_path / "out", rebuild=True)
    assert texts(tmp_path / "out") != before


def test_reports_that_are_not_there_or_damaged(tmp_path: Path) -> None:
    assert read_report(tmp_path) is None
    build_shards(find_sources([project(tmp_path / "proj", 5)]), tmp_path / "out")
    path = tmp_path / "out" / REPORT_NAME
    whole = path.read_text()
    for damaged in (whole[:30], "[]", json.dumps({**json.loads(whole), "format": 2})):
        path.write_text(damaged)
        with pytest.raises(DataError, match=r"is damaged|is not of format") as caught:
            read_report(tmp_path / "out")
        assert "build it again" in str(caught.value)
