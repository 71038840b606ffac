from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nanoplug.data.shards import Document, list_shards, open_shards, read_texts, split_shards, write_shard
from nanoplug.errors import DataError


def test_texts_come_back_in_order_from_small_row_groups(tmp_path: Path) -> None:
    texts = ["", "a\r\n", "é漢🎉\0", "x" * 1000, "last"]
    path = tmp_path / "a.parquet"
    assert write_shard(path, (Document(f"{i}.h", text) for i, text in enumerate(texts)), row_group_documents=2) == 5
    shards = open_shards([path])
    assert [group.rows for group in shards.groups] == [2, 2, 1]
    assert shards.documents == 5
    assert [text for group in shards.groups for text in read_texts(group)] == texts
    assert pq.read_table(path).column("path").to_pylist() == ["0.h", "1.h", "2.h", "3.h", "4.h"]


def test_the_last_by_name_is_for_validation(tmp_path: Path) -> None:
    for name in ("val", "train_00001", "train_00000"):
        write_shard(tmp_path / f"{name}.parquet", [Document("a", "b")])
    (tmp_path / "zz.parquet.tmp").write_bytes(b"half")
    (tmp_path / ".train_00002.parquet.1a2b.nanoplug-tmp").write_bytes(b"half")
    (tmp_path / ".zz.parquet").write_bytes(b"half")
    train, val = split_shards(tmp_path)
    assert [path.name for path in train] == ["train_00000.parquet", "train_00001.parquet"]
    assert [path.name for path in val] == ["val.parquet"]


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_shards(tmp_path: Path, count: int) -> None:
    for number in range(count):
        write_shard(tmp_path / f"{number}.parquet", [Document("a", "b")])
    with pytest.raises(DataError, match=f"holds {count} shard") as caught:
        list_shards(tmp_path)
    assert "nanoplug data build" in str(caught.value)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        list_shards(tmp_path / "missing")


def test_digest_tells_contents_of_one_size_apart(tmp_path: Path) -> None:
    digests = set()
    for text in ("int a;", "int b;"):
        path = tmp_path / "a.parquet"
        write_shard(path, [Document("x", "first"), Document("a.h", text), Document("y", "z")])
        digests.add(open_shards([path]).digest)
        assert open_shards([path]).digest in digests
    assert len(digests) == 2


def test_missing_text_column(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"content": ["a"], "id": [1]}), path)
    with pytest.raises(DataError, match="no column named text; it has content, id"):
        open_shards([path])


def test_text_column_of_another_type(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [1, 2]}), path)
    with pytest.raises(DataError, match="is of type int64; it must be string"):
        open_shards([path])


def test_missing_text(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a", None]}), path)
    with pytest.raises(DataError, match="row 1 of row group 0 has no text"):
        read_texts(open_shards([path]).groups[0])


def test_no_documents(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_shard(path, [])
    with pytest.raises(DataError, match="there is no document"):
        open_shards([path])


@pytest.mark.parametrize("keep", [0, 3, 200])
def test_truncated_file(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.parquet"
    write_shard(path, [Document("a", "text " * 100)])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match="is not a whole parquet file"):
        open_shards([path])


def test_damaged_pages(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_shard(path, [Document("a", "".join(chr(97 + i * i % 26) for i in range(5000)))])
    data = bytearray(path.read_bytes())
    data[4:120] = b"\xff" * 116
    path.write_bytes(data)
    with pytest.raises(DataError, match="row group 0 is damaged"):
        read_texts(open_shards([path]).groups[0])


def test_removed_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        open_shards([tmp_path / "a.parquet"])
