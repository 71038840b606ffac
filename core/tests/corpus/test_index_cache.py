from pathlib import Path

from nanoplug.corpus.index_cache import Entry, IndexCache
from nanoplug.corpus.parse_unit import UnitFacts


def filled(folder: Path, outside: Path) -> None:
    cache = IndexCache(folder, {"a": "1", "h": "2"})
    entry = Entry(key="k", file="a", facts={"a": "da", "h": "dh"}, contents={"a": "1", "h": "2"})
    blobs = {"da": {"is": "a"}, "dh": {"is": "h"}, "di": {"is": "i"}}
    cache.add([entry], UnitFacts(outside=[str(outside)], instances=["di"], blobs=blobs, names={"s": "n::f"}))


def test_an_entry_is_valid_while_everything_it_depends_on_is_the_same(tmp_path: Path) -> None:
    outside = tmp_path / "system.h"
    outside.write_text("1")
    filled(tmp_path / "c", outside)
    cache = IndexCache(tmp_path / "c", {"a": "1", "h": "2"})
    entry = cache.valid("k")
    assert entry is not None
    assert cache.blobs[entry.facts["h"]] == {"is": "h"}
    assert cache.batches[entry.batch].names == {"s": "n::f"}
    assert cache.valid("other") is None
    assert IndexCache(tmp_path / "c", {"a": "1", "h": "3"}).valid("k") is None
    assert IndexCache(tmp_path / "c", {"a": "1"}).valid("k") is None
    outside.write_text("22")
    assert IndexCache(tmp_path / "c", {"a": "1", "h": "2"}).valid("k") is None


def test_damage_counts_as_missing(tmp_path: Path) -> None:
    filled(tmp_path / "c", tmp_path)
    [path] = (tmp_path / "c").iterdir()
    path.write_bytes(path.read_bytes()[:-9])
    assert IndexCache(tmp_path / "c", {"a": "1", "h": "2"}).valid("k") is None
    assert list((tmp_path / "c").iterdir()) == []


def test_what_nothing_uses_is_removed(tmp_path: Path) -> None:
    filled(tmp_path / "c", tmp_path)
    cache = IndexCache(tmp_path / "c", {"a": "1", "h": "2"})
    user = Entry(key="u", file="b", facts={"h": "dh"}, batch="of another unit")
    cache.forget_unused([user])
    assert len(list((tmp_path / "c").iterdir())) == 1
    cache.forget_unused([])
    assert list((tmp_path / "c").iterdir()) == []


def test_nothing_is_kept_without_a_folder(tmp_path: Path) -> None:
    cache = IndexCache(None, {"a": "1"})
    cache.add([Entry(key="k", file="a", contents={"a": "1"})], UnitFacts())
    assert cache.valid("k") is not None
