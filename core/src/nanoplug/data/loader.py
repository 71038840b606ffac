"""Training batches without end, exactly resumable: the state after a batch leads to the very next one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import attrs
import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from nanoplug.contracts import Tokenizer
from nanoplug.data.deal import Deal
from nanoplug.data.documents import DocumentStream
from nanoplug.data.loader_state import LoaderState, require_equal, state_for
from nanoplug.data.packing import Packer, PackingCounts
from nanoplug.data.processes import OpenRendering, RenderProcesses
from nanoplug.data.rendering import PlainRendering, Rendering
from nanoplug.data.source import ShardStream, Source
from nanoplug.data.tasks import RenderText
from nanoplug.errors import ContractError, DataError


@frozen(eq=False)
class Batch:
    """Rows of tokens in memory of their own.

    inputs_BT, targets_BT: int64 (B, T) on the CPU; targets are the inputs shifted by one. segments_BT: int32 (B, T),
    the number of the document within its row that each input belongs to, or None. after: where the loader stood after
    this batch. epoch: how often this rank had read its documents to the end. packing: what packing did until then.
    """

    inputs_BT: Tensor
    targets_BT: Tensor
    segments_BT: Tensor | None
    after: LoaderState
    epoch: int
    packing: PackingCounts

    @property
    def state(self) -> dict[str, Any]:
        """What `TrainLoader.load_state` needs to go on with the next batch, of JSON values only."""
        return self.after.to_json()


class TrainLoader:
    """Packs the documents of training shards into batches (see `packing`); an iterator of `Batch` that never ends.

    shards: files of text or of tokens, all of them for training. batch_size: rows B of a batch. sequence_len: T. rank,
    world_size: this process reads the row groups rank, rank + world_size, ... buffer_documents: how many packing
    chooses from. segments: also give the document numbers. split_documents: cut documents longer than a row into rows
    of their own instead of cropping them, so that next to nothing is dropped; each piece is led by BOS. rendering: how
    texts become tokens, plainly by default. stream: where more shards come from; `shards` are then the first.

    tokenizer_workers: processes that tokenize ahead, each with what `open_rendering` makes; 0: `tokenizer_threads` of
    this process do it. Neither these, nor tokenizer_batch, nor batch_size change the sequence of rows.
    documents: how many the shards hold, for all ranks together.
    Use it as a context manager, or call `close`, to end processes and whoever waits for shards.
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
        tokenizer_workers: int = 0,
        buffer_documents: int = 1000,
        segments: bool = False,
        split_documents: bool = False,
        rendering: Rendering | None = None,
        open_rendering: OpenRendering | None = None,
        stream: ShardStream | None = None,
    ) -> None:
        sizes = {
            "batch_size": batch_size,
            "sequence_len": sequence_len,
            "buffer_documents": buffer_documents,
            "tokenizer_threads": tokenizer_threads,
        }
        for name, value in sizes.items():
            if value < 1:
                raise ContractError(f"TrainLoader: {name} is {value}; it must be at least 1.")
        self._batch_size, self._segments = batch_size, segments
        self._row_tokens, self._buffer_documents = sequence_len + 1, buffer_documents
        self._split, self._tokenizer_batch = split_documents, tokenizer_batch
        plain = PlainRendering(tokenizer)
        rendering = rendering or plain
        self._render = RenderText(rendering, row_tokens=self._piece_tokens, threads=tokenizer_threads)
        self._processes = _processes(open_rendering, tokenizer_workers, self._piece_tokens, rendering)
        self._needs_text = dict(rendering.identity) != dict(plain.identity)
        self._source = Source(shards, tokenizer, stream=stream, text_only=self._needs_text)
        # What the sequence of rows depends on: a state fits a loader if all of this is equal.
        self._made_from: dict[str, Any] = {
            "tokenizer": tokenizer.fingerprint,
            "rendering": dict(rendering.identity),
            "sequence_len": sequence_len,
            "buffer_documents": buffer_documents,
            "split_documents": split_documents,
        }
        self._begin(Deal(self._source, rank, world_size), PackingCounts())

    @property
    def documents(self) -> int:
        return self._source.documents

    @property
    def counts(self) -> PackingCounts:
        """What packing has used and cropped since the first batch."""
        return attrs.evolve(self._packer.counts)

    @property
    def state(self) -> dict[str, Any]:
        """What `load_state` needs to go on with the next batch: JSON values, some 15 bytes a buffered document.

        Not to be read while a `Prefetch` works on this loader; each batch has the state that belongs to it.
        """
        return self._after().to_json()

    def _after(self) -> LoaderState:
        return LoaderState(
            made_from=self._made_from,
            listing=self._source.listing,
            ended=self._source.ended,
            rank=self._deal.rank,
            world_size=self._deal.world_size,
            changes=self._deal.changes,
            position=self._stream.position,
            buffer=self._packer.buffered(),
            counts=self.counts,
        )

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on after the batch that `state`, which this rank of as many ranks had, came with.

        Raises DataError if the state was made from other shards, another tokenizer, other settings, or on another rank.
        """
        self._go_on(LoaderState.from_json(state))

    def load_states(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Go on where all ranks of a run stood, on any number of ranks: exactly as before if there were as many.

        Else each document of the epoch is still seen exactly once. Raises DataError as `load_state` does, and if
        `states` are not those of all ranks.
        """
        parsed = [LoaderState.from_json(state) for state in states]
        self._go_on(state_for(parsed, self._deal.rank, self._deal.world_size))

    def close(self) -> None:
        """End processes and any wait; no batch can be taken any more."""
        self._source.close()
        if self._processes is not None:
            self._processes.close()

    def __enter__(self) -> TrainLoader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        rows_BR = np.empty((self._batch_size, self._row_tokens), np.int64)
        segments_BR = np.empty(rows_BR.shape, np.int32) if self._segments else None
        for number, tokens in enumerate(rows_BR):
            self._packer.fill(tokens, None if segments_BR is None else segments_BR[number])
        after = self._after()
        return Batch(
            inputs_BT=torch.from_numpy(rows_BR[:, :-1].copy()),
            targets_BT=torch.from_numpy(rows_BR[:, 1:].copy()),
            segments_BT=None if segments_BR is None else torch.from_numpy(segments_BR[:, :-1].copy()),
            after=after,
            epoch=after.position.epoch,
            packing=after.counts,
        )

    @property
    def _piece_tokens(self) -> int | None:
        return self._row_tokens if self._split else None

    def _begin(self, deal: Deal, counts: PackingCounts) -> None:
        self._deal = deal
        self._stream = DocumentStream(
            self._source,
            deal,
            self._render,
            row_tokens=self._piece_tokens,
            batch_documents=self._tokenizer_batch,
            processes=self._processes,
        )
        self._packer = Packer(self._row_tokens, self._buffer_documents, self._stream.next, counts)

    def _go_on(self, state: LoaderState) -> None:
        here = (self._deal.rank, self._deal.world_size)
        if (state.rank, state.world_size) != here:
            raise DataError(
                f"the state is that of rank {state.rank} of {state.world_size}; this is rank {here[0]} of {here[1]}.",
                todo="Give the states of all ranks to load_states, which deals what is left among these ranks.",
            )
        require_equal(state.made_from, self._made_from)
        self._source.restore(state.listing, ended=state.ended)
        if self._processes is not None:
            self._processes.drop()
        self._begin(Deal(self._source, *here, state.changes), attrs.evolve(state.counts))
        self._stream.seek(state.position)
        for document in self._stream.fetch(state.buffer):
            self._packer.add(document)


def _processes(
    open_rendering: OpenRendering | None, count: int, piece_tokens: int | None, rendering: Rendering
) -> RenderProcesses | None:
    if count < 0 or (count and open_rendering is None):
        raise ContractError(
            f"TrainLoader: tokenizer_workers is {count}; it must be 0, or more with an `open_rendering` for them."
        )
    if not count or open_rendering is None:
        return None
    return RenderProcesses(open_rendering, count=count, row_tokens=piece_tokens, identity=rendering.identity)
