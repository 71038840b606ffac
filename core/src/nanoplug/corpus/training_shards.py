"""Cuts what is for training into shards of a bounded size, `train_NNNNN.parquet`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from nanoplug.data.shards import ROW_GROUP_DOCUMENTS, Document, write_shard

SHARD_BYTES = 256 << 20
_MIN_GROUPS = 64

Item = TypeVar("Item")


def write_training_shards(
    folder: Path,
    items: Sequence[Item],
    *,
    bytes_of: Callable[[Item], int],
    read: Callable[[Sequence[Item]], Iterable[Document]],
    origins: bool = False,
) -> int:
    """Write the documents of `items`, in order, and return how many shards they took.

    bytes_of: of an item's text. read: the documents of a shard's items. origins: as `write_shard` takes it. Small
    corpora get small row groups, so that there is one for each of several ranks.
    """
    group = max(1, min(ROW_GROUP_DOCUMENTS, len(items) // _MIN_GROUPS))
    shares = _shares(items, bytes_of)
    for number, share in enumerate(shares):
        write_shard(folder / f"train_{number:05d}.parquet", read(share), row_group_documents=group, origins=origins)
    return len(shares)


def _shares(items: Sequence[Item], bytes_of: Callable[[Item], int]) -> list[list[Item]]:
    """Items in runs of at most `SHARD_BYTES`."""
    shares: list[list[Item]] = [[]]
    size = 0
    for item in items:
        if shares[-1] and size + bytes_of(item) > SHARD_BYTES:
            shares.append([])
            size = 0
        shares[-1].append(item)
        size += bytes_of(item)
    return shares
