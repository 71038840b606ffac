"""Training batches without end, exactly resumable: the state after a batch leads to the very next one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from nanoplug.contracts import Tokenizer
from nanoplug.data.documents import DocumentStream, Position
from nanoplug.data.packing import Packer, PackingCounts
from nanoplug.data.shards import open_shards
from nanoplug.errors import ContractError, DataError

_FORMAT = 1


@frozen(eq=False)
class Batch:
    """Rows of tokens in memory of their own.

    inputs_BT, targets_BT: int64 (B, T) on the CPU; targets are the inputs shifted by one. segments_BT: int32 (B, T),
    the number of the document within its row that each input belongs to, or None. state: the loader's state after this
    batch, of JSON values only. epoch: how often this rank has read its documents to the end.
    """

    inputs_BT: Tensor
    targets_BT: Tensor
    segments_BT: Tensor | None
    state: dict[str, Any]
    epoch: int


class TrainLoader:
    """Packs the documents of training shards into batches (see `packing`); an iterator of `Batch` that never ends.

    shards: parquet files, all of them for training. batch_size: rows B of a batch. sequence_len: T. rank, world_size:
    this process reads the row groups rank, rank + world_size, ... buffer_documents: how many packing chooses from.
    segments: also give the document numbers. split_documents: cut documents longer than a row into rows of their own
    instead of cropping them, so that next to nothing is dropped; each piece is led by BOS.

    tokenizer_batch, tokenizer_threads and batch_size do not change the sequence of rows.
    documents: how many the shards hold, for all ranks together.
    Raises DataError if the shards are damaged or empty, or hold nothing for this rank.
    """

    def __init__(
        self,
        shards: Sequence[Path],
        tokenizer: Tokenizer,
        *,
        batch_size: int,
        sequence_len: int,
        rank: int = 0,
        world_size: int = 1,
        tokenizer_batch: int = 128,
        tokenizer_threads: int = 4,
        buffer_documents: int = 1000,
        segments: bool = False,
        split_documents: bool = False,
    ) -> None:
        sizes = {"batch_size": batch_size, "sequence_len": sequence_len, "buffer_documents": buffer_documents}
        for name, value in sizes.items():
            if value < 1:
                raise ContractError(f"TrainLoader: {name} is {value}; it must be at least 1.")
        opened = open_shards(shards)
        row_tokens = sequence_len + 1
        self._stream = DocumentStream(
            opened,
            tokenizer,
            rank=rank,
            world_size=world_size,
            row_tokens=row_tokens if split_documents else None,
            tokenizer_batch=tokenizer_batch,
            tokenizer_threads=tokenizer_threads,
        )
        self._packer = Packer(row_tokens, buffer_documents, self._stream.next)
        self.documents = opened.documents
        self._batch_size, self._segments = batch_size, segments
        # What the sequence of rows depends on: a state fits a loader if all of this is equal.
        self._identity: dict[str, Any] = {
            "shards": opened.digest,
            "shard_count": len(opened.paths),
            "documents": opened.documents,
            "tokenizer": tokenizer.fingerprint,
            "sequence_len": sequence_len,
            "buffer_documents": buffer_documents,
            "split_documents": split_documents,
            "rank": rank,
            "world_size": world_size,
        }

    @property
    def counts(self) -> PackingCounts:
        """What packing has used and cropped since the first batch."""
        return attrs.evolve(self._packer.counts)

    @property
    def state(self) -> dict[str, Any]:
        """What `load_state` needs to go on with the next batch: JSON values, some 15 bytes a buffered document.

        Not to be read while a `Prefetch` works on this loader; each batch has the state that belongs to it.
        """
        return {
            "format": _FORMAT,
            "made_from": dict(self._identity),
            "position": attrs.asdict(self._stream.position),
            "buffer": [list(ref) for ref in self._packer.buffered()],
            "counts": attrs.asdict(self._packer.counts),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on after the batch that `state` came with.

        Raises DataError if the state was made from other shards, another tokenizer, or other settings. Another number
        of ranks is refused as well: what each rank has buffered depends on which documents it has read.
        """
        if not isinstance(state, dict) or state.get("format") != _FORMAT:
            raise DataError("the loader state was not written by this version of nanoplug.", todo="Start afresh.")
        _check_identity(state["made_from"], self._identity)
        self._stream.seek(Position(**state["position"]))
        packer = Packer(self._packer.row_tokens, self._packer.buffer_documents, self._stream.next)
        packer.counts = PackingCounts(**state["counts"])
        for document in self._stream.fetch([(group, row, piece) for group, row, piece in state["buffer"]]):
            packer.add(document)
        self._packer = packer

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        rows = [self._packer.row() for _ in range(self._batch_size)]
        tokens = torch.from_numpy(np.stack([tokens for tokens, _ in rows]))
        segments = torch.from_numpy(np.stack([segments[:-1] for _, segments in rows])) if self._segments else None
        return Batch(
            inputs_BT=tokens[:, :-1].contiguous(),
            targets_BT=tokens[:, 1:].contiguous(),
            segments_BT=segments,
            state=self.state,
            epoch=self._stream.position.epoch,
        )


def _check_identity(then: dict[str, Any], now: dict[str, Any]) -> None:
    differing = [name for name in now if then.get(name) != now[name]]
    if not differing:
        return
    if "shards" in differing:
        what = "the training shards are not those that the state was made from"
        todo = "Put the shards back as they were, or start afresh."
    elif "world_size" in differing or "rank" in differing:
        what = "the state belongs to another rank or number of ranks, whose buffered documents are others"
        todo = "Go on with as many ranks as before, or start afresh."
    else:
        what = "the loader state does not fit this loader"
        todo = "Go on with the same tokenizer and settings, or start afresh."
    raise DataError(f"{what}.", details=[f"{name}: {then.get(name)} -> {now[name]}" for name in differing], todo=todo)
