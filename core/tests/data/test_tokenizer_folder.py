from __future__ import annotations

import json
from pathlib import Path

import pytest

from nanoplug.conformance.tokenizer_reference import ReferenceFactory, ReferenceTokenizer
from nanoplug.contracts import TokenizerFactory
from nanoplug.data.tokenizer_folder import MANIFEST_NAME, open_tokenizer, read_manifest, save_tokenizer
from nanoplug.errors import DataError


def save(tokenizer: ReferenceTokenizer, folder: Path) -> None:
    save_tokenizer(tokenizer, folder, plugin_id="acme:words", distribution="acme", version="1.2")


def factory_for(plugin_id: str) -> TokenizerFactory:
    assert plugin_id == "acme:words"
    return ReferenceFactory()


def test_what_is_saved_is_opened(tmp_path: Path, tokenizer: ReferenceTokenizer) -> None:
    save(tokenizer, tmp_path / "new" / "folder")
    manifest = read_manifest(tmp_path / "new" / "folder")
    assert (manifest.plugin_id, manifest.distribution, manifest.version) == ("acme:words", "acme", "1.2")
    assert (manifest.fingerprint, manifest.vocab_size) == (tokenizer.fingerprint, tokenizer.vocab_size)
    again = open_tokenizer(tmp_path / "new" / "folder", factory_for)
    assert again.encode("int x") == tokenizer.encode("int x")


def test_an_interrupted_save_leaves_no_manifest(tmp_path: Path, tokenizer: ReferenceTokenizer) -> None:
    class Failing(ReferenceTokenizer):
        def save(self, folder: Path) -> None:
            raise OSError("no room")

    save(tokenizer, tmp_path)
    with pytest.raises(OSError, match="no room"):
        save(Failing(), tmp_path)
    with pytest.raises(DataError, match="no whole tokenizer"):
        read_manifest(tmp_path)


def test_no_folder_and_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder") as caught:
        read_manifest(tmp_path / "missing")
    assert "nanoplug tokenizer train" in str(caught.value)
    with pytest.raises(DataError, match=r"holds no manifest\.json"):
        open_tokenizer(tmp_path, factory_for)


@pytest.mark.parametrize("change", [{"vocab_size": "many"}, {"fingerprint": None}, {"format": 99}])
def test_a_damaged_manifest(tmp_path: Path, tokenizer: ReferenceTokenizer, change: dict[str, object]) -> None:
    save(tokenizer, tmp_path)
    path = tmp_path / MANIFEST_NAME
    whole = path.read_text()
    for damaged in (json.dumps({**json.loads(whole), **change}), whole[:40], "[]", "\udcff"):
        path.write_bytes(damaged.encode("utf-8", "surrogateescape"))
        with pytest.raises(DataError, match=r"is damaged|is not a tokenizer's manifest"):
            read_manifest(tmp_path)


def test_files_that_are_not_those_of_the_manifest(tmp_path: Path, tokenizer: ReferenceTokenizer) -> None:
    save(tokenizer, tmp_path)
    ReferenceTokenizer([b"other"]).save(tmp_path)
    with pytest.raises(DataError, match="states fingerprint"):
        open_tokenizer(tmp_path, factory_for)
