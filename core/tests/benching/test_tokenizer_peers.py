from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from nanoplug.benching.tokenizer_peers import PEERS, TiktokenPeer, cached_file, peer

tiktoken = pytest.importorskip("tiktoken")


def encoding() -> object:
    return tiktoken.Encoding(
        "bytes", pat_str=r"(?s:.)", mergeable_ranks={bytes([byte]): byte for byte in range(256)}, special_tokens={}
    )


def test_a_peer_encodes_and_decodes() -> None:
    one = TiktokenPeer(encoding())  # type: ignore[arg-type]
    texts = ["int é", "", b"caf\xc3\xa9"]
    assert one.encode_batch(texts, threads=1) == one.encode_batch(texts, threads=2)
    assert one.decode_bytes(one.encode_batch(texts)[0]) == "int é".encode()
    assert one.vocab_size == 256


@pytest.mark.parametrize("name", PEERS)
def test_nothing_is_fetched(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    assert peer(name) == f"tiktoken has not fetched it to {tmp_path}, and nothing is fetched here"
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert peer(name) == "tiktoken is not installed"


def test_what_was_fetched_takes_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    cached_file("cl100k_base").write_bytes(b"")
    monkeypatch.setattr(tiktoken, "get_encoding", lambda name: encoding())
    found = peer("cl100k_base")
    assert not isinstance(found, str)
    assert (found.name, found.fingerprint, found.made_of) == ("cl100k_base", "", {"tiktoken": tiktoken.__version__})
    first, second = found.open(), found.open()
    assert first is not second
    assert first.encode_batch(["ab"], threads=1) == [[97, 98]]


def test_the_file_is_where_tiktoken_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With that file there, damaged, tiktoken itself reads it before it would fetch another."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    from tiktoken import load

    from nanoplug.benching.tokenizer_peers import SOURCE

    cached_file("o200k_base").write_bytes(b"AA== 0\n")
    assert load.load_tiktoken_bpe(SOURCE.format("o200k_base")) == {b"\x00": 0}
