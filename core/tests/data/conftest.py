from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from nanoplug.conformance.tokenizer_reference import ReferenceTokenizer
from nanoplug.data.shards import Document, write_shard

MakeShards = Callable[..., list[Path]]


@pytest.fixture(scope="session")
def tokenizer() -> ReferenceTokenizer:
    return ReferenceTokenizer([b"int ", b"return ", b"    ", b"std::"])


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
