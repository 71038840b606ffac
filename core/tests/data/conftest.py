from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import numpy as np
import pytest

from nanoplug.conformance.tokenizer_reference import ReferenceTokenizer
from nanoplug.contracts import Tokenizer
from nanoplug.data.rendering import bos_id
from nanoplug.data.shards import Document, write_shard
from nanoplug.data.token_shards import TokenShardWriter, ids_dtype
from nanoplug.data.tokenized_folder import MANIFEST_NAME, StatedShard, TokenManifest

MakeShards = Callable[..., list[Path]]


@pytest.fixture(scope="session")
def tokenizer() -> ReferenceTokenizer:
    return ReferenceTokenizer([b"int ", b"return ", b"    ", b"std::"])


class FimTokenizer(ReferenceTokenizer):
    """The same with the special tokens of filling in the middle behind the others."""

    def __init__(self, words: Sequence[bytes] = ()) -> None:
        super().__init__(words)
        names = ("<FIM_SUFFIX>", "<EOS>", "<FIM_PREFIX>", "<FIM_MIDDLE>")
        self.special = {**self.special, **{name: self.vocab_size + i for i, name in enumerate(names)}}
        self.vocab_size += len(names)
        self.bytes_per_token = (*self.bytes_per_token, 0, 0, 0, 0)
        self.fingerprint += "fim"


@pytest.fixture(scope="session")
def fim_tokenizer() -> FimTokenizer:
    return FimTokenizer([b"int ", b"return ", b"    ", b"std::", "漢字".encode(), b"\n    "])


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """Forty documents of 0 to 120 bytes, each starting with its own number."""
    draw = random.Random(5)
    parts = ("int ", "return ", "    ", "std::", "x", "é", "\n", ";", "漢")
    return ["", *(f"{n}:" + "".join(draw.choices(parts, k=draw.randrange(40))) for n in range(39))]


@pytest.fixture
def make_shards(tmp_path: Path) -> MakeShards:
    def make(texts: Sequence[str], *, shards: int = 2, row_group_documents: int = 4, name: str = "data") -> list[Path]:
        folder = tmp_path / name
        folder.mkdir()
        paths = [folder / f"train_{number:05d}.parquet" for number in range(shards)]
        for number, path in enumerate(paths):
            documents = [Document(f"file_{i}.h", text) for i, text in enumerate(texts[number::shards])]
            write_shard(path, documents, row_group_documents=row_group_documents)
        return paths

    return make


@pytest.fixture(scope="session")
def make_token_folder() -> Callable[..., list[Path]]:
    return _make_token_folder


def _make_token_folder(
    folder: Path,
    tokenizer: Tokenizer,
    shards: Sequence[Sequence[int]],
    *,
    length_of: Callable[[int], int] = lambda number: 1 + number * 5 % 19,
) -> list[Path]:
    """For each shard the documents of each of its groups. Document n is BOS, then `length_of(n)` - 1 times id n."""
    stated: list[StatedShard] = []
    number = 0
    for each, groups in enumerate(shards):
        with TokenShardWriter(folder / f"s{each}.bin", tokenizer.vocab_size) as writer:
            for documents in groups:
                for n in range(number, number + documents):
                    writer.add([length_of(n)], np.array([bos_id(tokenizer), *[n] * (length_of(n) - 1)]))
                number += documents
                writer.end_group()
        stated.append(
            StatedShard(
                name=writer.path.name,
                source="",
                documents=writer.documents,
                tokens=writer.tokens,
                groups=writer.groups,
                sha256=writer.sha256,
            )
        )
    manifest = TokenManifest(
        tokenizer=tokenizer.fingerprint,
        vocab_size=tokenizer.vocab_size,
        dtype=ids_dtype(tokenizer.vocab_size).str,
        source="",
        shards=tuple(stated),
    )
    (folder / MANIFEST_NAME).write_text(json.dumps({"format": 1, **attrs.asdict(manifest)}))
    return [folder / shard.name for shard in stated]
