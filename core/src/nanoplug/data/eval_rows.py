"""Validation rows: every token of the chosen documents is a target exactly once, in the same rows on every run."""

from __future__ import annotations

import hashlib
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from torch import Tensor

from nanoplug.contracts import Tokenizer
from nanoplug.data.rendering import bos_id, tokenize
from nanoplug.data.shards import TextReader, TextShard
from nanoplug.data.token_shards import TokenShard
from nanoplug.data.tokenized_folder import OpenShard
from nanoplug.errors import ContractError, DataError

IGNORED = -1


@frozen(eq=False)
class EvalBatch:
    """inputs_BT, targets_BT: int64 (B, T) on the CPU, targets -1 where nothing is to be scored. segments_BT: int32
    (B, T) numbers of the pieces within their row, or None."""

    inputs_BT: Tensor
    targets_BT: Tensor
    segments_BT: Tensor | None


class EvalLoader:
    """Batches over validation documents, in shards of text or of tokens; iterating again gives the same batches again.

    A document is led by BOS, which is context and never a target. A document longer than a row is cut into pieces;
    the first input of a piece is the last target of the piece before. Pieces are packed best-fit, longest first; what
    is left of a row is padded with BOS and ignored. The batches rank, rank + world_size, ... are this rank's; all ranks
    have equally many.

    max_tokens: take whole documents from the first on while they fit, at least one; None takes all.
    documents, tokens, bytes: what all ranks cover together; tokens are the targets, bytes the UTF-8 bytes of the texts.
    padding_share: of all places for a target, those with none. digest: tells these shards from others.
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
        max_tokens: int | None = None,
        tokenizer_batch: int = 128,
        tokenizer_threads: int = 4,
        segments: bool = False,
    ) -> None:
        if batch_size < 1 or sequence_len < 1 or not 0 <= rank < world_size:
            raise ContractError(
                f"EvalLoader: batch_size {batch_size}, sequence_len {sequence_len}, rank {rank} of {world_size}:"
                " not possible."
            )
        if max_tokens is not None and max_tokens < 1:
            raise ContractError(f"EvalLoader: max_tokens is {max_tokens}; it must be at least 1, or None for all.")
        self.documents = self.tokens = self.bytes = 0
        chosen: list[NDArray[np.int32]] = []
        open_shard = OpenShard(tokenizer)
        opened = [open_shard(path) for path in shards]
        digests = [f"{shard.path.name} {shard.digest}" for shard in opened]
        self.digest = hashlib.sha256("\n".join(digests).encode()).hexdigest()
        for n_bytes, tokens in _tokenized(opened, tokenizer, tokenizer_batch, tokenizer_threads):
            if max_tokens is not None and self.tokens and self.tokens + len(tokens) - 1 > max_tokens:
                break
            chosen.append(tokens)
            self.documents += 1
            self.tokens += len(tokens) - 1
            self.bytes += n_bytes
        if not self.tokens:
            raise DataError(
                f"{', '.join(str(path) for path in shards)}: the validation documents hold no token.",
                todo="Build the data from more documents, or with a larger --val-fraction.",
            )
        rows = _best_fit([piece for tokens in chosen for piece in _cut(tokens, sequence_len)], sequence_len)
        self._bos = bos_id(tokenizer)
        self._inputs_RT, self._targets_RT, self._segments_RT = _filled(rows, sequence_len, self._bos)
        self.padding_share = 1 - self.tokens / self._targets_RT.size
        self._batch_size, self._rank, self._world_size, self._segments = batch_size, rank, world_size, segments

    def __len__(self) -> int:
        """Batches of each rank."""
        return -(-len(self._inputs_RT) // (self._batch_size * self._world_size))

    def __iter__(self) -> Iterator[EvalBatch]:
        for number in range(len(self)):
            start = (number * self._world_size + self._rank) * self._batch_size
            yield EvalBatch(
                inputs_BT=self._rows(self._inputs_RT, start, self._bos).long(),
                targets_BT=self._rows(self._targets_RT, start, IGNORED).long(),
                segments_BT=self._rows(self._segments_RT, start, 0) if self._segments else None,
            )

    def _rows(self, source_RT: NDArray[np.int32], start: int, padding: int) -> Tensor:
        rows_BT = np.full((self._batch_size, source_RT.shape[1]), padding, np.int32)
        there = source_RT[start : start + self._batch_size]
        rows_BT[: len(there)] = there
        return torch.from_numpy(rows_BT)


def _tokenized(
    shards: Sequence[TextShard | TokenShard], tokenizer: Tokenizer, batch: int, threads: int
) -> Iterator[tuple[int, NDArray[np.int32]]]:
    """UTF-8 bytes and tokens of each document."""
    reader, bytes_per_token = TextReader(), np.array(tokenizer.bytes_per_token, np.int64)
    for shard in shards:
        for group, documents in enumerate(shard.group_documents):
            for start in range(0, documents, batch):
                rows = range(start, min(start + batch, documents))
                if isinstance(shard, TokenShard):
                    for ids in shard.documents(group, rows):
                        yield int(bytes_per_token[ids].sum()), ids.astype(np.int32)
                    continue
                part = reader.texts(shard.path, group)[start : rows.stop]
                for text, tokens in zip(part, tokenize(tokenizer, part, threads=threads), strict=True):
                    yield len(text.encode("utf-8")), tokens


def _cut(tokens: NDArray[np.int32], length: int) -> list[NDArray[np.int32]]:
    """Pieces of up to `length` + 1 tokens (inputs and one more target), each starting with the last token before."""
    return [tokens[start : start + length + 1] for start in range(0, len(tokens) - 1, length)]


def _best_fit(pieces: Sequence[NDArray[np.int32]], length: int) -> list[list[NDArray[np.int32]]]:
    """Rows of pieces with at most `length` targets each: longest piece first, into the fullest row that has room."""
    rows: list[list[NDArray[np.int32]]] = []
    room: list[tuple[int, int]] = []
    for piece in sorted(pieces, key=len, reverse=True):
        at = bisect_left(room, (len(piece) - 1, -1))
        if at == len(room):
            rows.append([])
            left, row = length, len(rows) - 1
        else:
            left, row = room.pop(at)
        rows[row].append(piece)
        if left > len(piece) - 1:
            insort(room, (left - len(piece) + 1, row))
    return rows


def _filled(
    rows: Sequence[Sequence[NDArray[np.int32]]], length: int, bos: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    inputs_RT = np.full((len(rows), length), bos, np.int32)
    targets_RT = np.full((len(rows), length), IGNORED, np.int32)
    segments_RT = np.zeros((len(rows), length), np.int32)
    for row, pieces in enumerate(rows):
        start = 0
        for number, piece in enumerate(pieces):
            end = start + len(piece) - 1
            inputs_RT[row, start:end] = piece[:-1]
            targets_RT[row, start:end] = piece[1:]
            segments_RT[row, start:] = number
            start = end
        segments_RT[row, start:] = len(pieces)
    return inputs_RT, targets_RT, segments_RT
