"""Peers that everybody knows: tiktoken's vocabularies, where their files are on this machine already."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanoplug.benching.results import version
from nanoplug.benching.tokenizers import Encoder, Entrant, Text

if TYPE_CHECKING:
    import tiktoken

SOURCE = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"
PEERS = ("cl100k_base", "o200k_base")


class TiktokenPeer:
    """Serves `tokenizers.Encoder`; bytes that are not UTF-8 are replaced, as in tiktoken itself."""

    def __init__(self, encoding: tiktoken.Encoding) -> None:
        self._encoding = encoding
        self.vocab_size = encoding.n_vocab

    def encode_batch(self, texts: Sequence[Text], *, threads: int = 4) -> list[list[int]]:
        if threads == 1:
            return [self._encode(text) for text in texts]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(self._encode, texts))

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        return self._encoding.decode_bytes(ids)

    def _encode(self, text: Text) -> list[int]:
        return self._encoding.encode_ordinary(text if isinstance(text, str) else text.decode("utf-8", "replace"))


def cached_file(name: str) -> Path:
    """Where tiktoken keeps the file that it fetches for the encoding `name`."""
    told = (os.environ.get(key) for key in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"))
    folder = next((one for one in told if one is not None), os.path.join(tempfile.gettempdir(), "data-gym-cache"))
    return Path(folder) / hashlib.sha1(SOURCE.format(name).encode()).hexdigest()


def peer(name: str) -> Entrant | str:
    """The encoding `name` of tiktoken, or why it does not take part. Nothing is fetched."""
    if importlib.util.find_spec("tiktoken") is None:
        return "tiktoken is not installed"
    if not cached_file(name).is_file():
        return f"tiktoken has not fetched it to {cached_file(name).parent}, and nothing is fetched here"

    def opened() -> Encoder:
        import tiktoken

        known: Any = tiktoken.get_encoding(name)
        # One of its own: get_encoding gives everybody the same, whose caches are not empty.
        fresh = tiktoken.Encoding(
            name, pat_str=known._pat_str, mergeable_ranks=known._mergeable_ranks, special_tokens={}
        )
        return TiktokenPeer(fresh)

    made_of = {"tiktoken": version("tiktoken") or ""}
    return Entrant(name=name, family="peer: tiktoken", open=opened, check=lambda _: "", made_of=made_of)
