from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from nanoplug.data.token_shards import TokenShardWriter, ids_dtype, open_by_bos, open_indexed, tokens_in
from nanoplug.errors import DataError

DOCUMENTS = [[9, 1, 2], [9], [9, 3], [9, 9], [9, 4, 5, 6]]


def write(path: Path, vocab_size: int = 300) -> str:
    """DOCUMENTS in groups of 2, 0 and 3."""
    with TokenShardWriter(path, vocab_size) as writer:
        for group in (DOCUMENTS[:2], [], DOCUMENTS[2:]):
            if group:
                writer.add([len(ids) for ids in group], np.concatenate([np.array(ids) for ids in group]))
            writer.end_group()
    return writer.sha256


@pytest.mark.parametrize(("vocab_size", "width"), [(300, 2), (65_536, 2), (65_537, 4), (200_000, 4)])
def test_the_format_is_a_count_and_the_ids(tmp_path: Path, vocab_size: int, width: int) -> None:
    write(tmp_path / "a.bin", vocab_size)
    raw = (tmp_path / "a.bin").read_bytes()
    assert int.from_bytes(raw[:8], "little") == 12 == tokens_in(tmp_path / "a.bin")
    ids = [int.from_bytes(raw[at : at + width], "little") for at in range(8, len(raw), width)]
    assert ids == [id for document in DOCUMENTS for id in document]
    assert ids_dtype(vocab_size).itemsize == width


def test_documents_come_back_by_group_and_row(tmp_path: Path) -> None:
    digest = write(tmp_path / "a.bin")
    shard = open_indexed(tmp_path / "a.bin", vocab_size=300, digest=digest)
    assert shard.group_documents == (2, 0, 3)
    assert [ids.tolist() for ids in shard.documents(0, range(2))] == DOCUMENTS[:2]
    assert [ids.tolist() for ids in shard.documents(2, [0, 2])] == [DOCUMENTS[2], DOCUMENTS[4]]
    assert [ids.tolist() for ids in shard.documents(2, range(1, 3))] == DOCUMENTS[3:]
    assert not shard.documents(0, range(1))[0].flags.writeable


def test_a_digest_tells_other_ids_and_other_bounds(tmp_path: Path) -> None:
    first = write(tmp_path / "a.bin")
    assert write(tmp_path / "a.bin") == first
    with TokenShardWriter(tmp_path / "b.bin", 300) as writer:
        writer.add([12], np.array([id for document in DOCUMENTS for id in document]))
        writer.end_group()
    assert writer.sha256 != first


def test_a_file_without_an_index_is_cut_at_bos(tmp_path: Path) -> None:
    whole = [[9, 1, 2], [9], [9, 3], *([9, n] for n in range(10, 140))]
    ids = [id for document in whole for id in document]
    (tmp_path / "a.bin").write_bytes(len(ids).to_bytes(8, "little") + np.array(ids, "<u2").tobytes())
    shard = open_by_bos(tmp_path / "a.bin", vocab_size=300, bos=9)
    assert shard.group_documents == (64, 64, 5)
    found = [
        ids.tolist()
        for group, count in enumerate(shard.group_documents)
        for ids in shard.documents(group, range(count))
    ]
    assert found == whole
    assert open_by_bos(tmp_path / "a.bin", vocab_size=300, bos=9).digest == shard.digest
    with pytest.raises(DataError, match="does not start with the tokenizer's BOS"):
        open_by_bos(tmp_path / "a.bin", vocab_size=300, bos=8)
    with pytest.raises(DataError, match="holds id 139"):
        open_by_bos(tmp_path / "a.bin", vocab_size=139, bos=9)


@pytest.mark.parametrize("damage", ["short", "long", "empty", "other width", "index", "no index", "index of another"])
def test_damage_is_found(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.bin"
    write(path)
    offsets = tmp_path / "a.offsets.npy"
    raw = path.read_bytes()
    if damage in ("short", "long", "empty"):
        path.write_bytes({"short": raw[:-1], "long": raw + b"x", "empty": b""}[damage])
    elif damage == "index":
        offsets.write_bytes(offsets.read_bytes()[:20])
    elif damage == "no index":
        offsets.unlink()
    elif damage == "index of another":
        np.save(offsets, np.array([0, 3], "<u8"))
    with pytest.raises(DataError, match=r"a\."):
        open_indexed(path, vocab_size=70_000 if damage == "other width" else 300, digest="")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        open_by_bos(tmp_path / "a.bin", vocab_size=300, bos=9)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files by /proc")
def test_many_shards_hold_few_files_open(tmp_path: Path) -> None:
    shards = []
    for number in range(100):
        digest = write(tmp_path / f"{number}.bin")
        shards.append(open_indexed(tmp_path / f"{number}.bin", vocab_size=300, digest=digest))
    before = len(os.listdir("/proc/self/fd"))
    for shard in shards:
        assert shard.documents(0, range(1))[0].tolist() == DOCUMENTS[0]
    assert len(os.listdir("/proc/self/fd")) - before <= 64


def test_a_file_that_was_replaced_in_use(tmp_path: Path) -> None:
    digest = write(tmp_path / "a.bin")
    shard = open_indexed(tmp_path / "a.bin", vocab_size=300, digest=digest)
    (tmp_path / "b.bin").write_bytes((tmp_path / "a.bin").read_bytes())
    (tmp_path / "b.bin").replace(tmp_path / "a.bin")
    with pytest.raises(DataError, match="was replaced while it was in use"):
        shard.documents(0, range(1))
