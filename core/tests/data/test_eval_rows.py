from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nanoplug.conformance.tokenizer_reference import ReferenceTokenizer
from nanoplug.data.eval_rows import IGNORED, EvalBatch, EvalLoader
from nanoplug.errors import ContractError, DataError

MakeShards = Callable[..., list[Path]]


def loader(paths: list[Path], tokenizer: ReferenceTokenizer, **settings: Any) -> EvalLoader:
    return EvalLoader(paths, tokenizer, **{"batch_size": 3, "sequence_len": 16, "segments": True, **settings})


def pieces(batches: list[EvalBatch]) -> list[tuple[list[int], list[int]]]:
    """Inputs and targets of each piece, by the segment numbers, padding left out."""
    found = []
    for batch in batches:
        assert batch.segments_BT is not None
        rows = zip(batch.inputs_BT.tolist(), batch.targets_BT.tolist(), batch.segments_BT.tolist(), strict=True)
        for inputs, targets, segments in rows:
            for number in sorted(set(segments)):
                at = [i for i, segment in enumerate(segments) if segment == number]
                if targets[at[0]] != IGNORED:
                    found.append(([inputs[i] for i in at], [targets[i] for i in at]))
    return found


@pytest.mark.parametrize("sequence_len", [1, 2, 5, 16, 200])
def test_every_token_is_a_target_once_behind_its_own_context(
    sequence_len: int, tokenizer: ReferenceTokenizer, texts: list[str], make_shards: MakeShards
) -> None:
    rows = loader(make_shards(texts), tokenizer, sequence_len=sequence_len)
    bos = tokenizer.special["<|bos|>"]
    expected: Counter[tuple[int, ...]] = Counter()
    for text in texts:
        tokens = [bos, *tokenizer.encode(text)]
        for start in range(0, len(tokens) - 1, sequence_len):
            expected[tuple(tokens[start : start + sequence_len + 1])] += 1
    got = Counter((inputs[0], *targets) for inputs, targets in pieces(list(rows)))
    assert got == expected
    assert all(inputs[1:] == targets[:-1] for inputs, targets in pieces(list(rows)))


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_all_ranks_cover_every_byte_in_equally_many_full_batches(
    world_size: int, tokenizer: ReferenceTokenizer, texts: list[str], make_shards: MakeShards
) -> None:
    paths = make_shards(texts)
    ranks = [loader(paths, tokenizer, rank=rank, world_size=world_size) for rank in range(world_size)]
    targets = torch.cat([batch.targets_BT for rank in ranks for batch in rank]).flatten()
    targets = targets[targets != IGNORED]
    total_bytes = sum(len(text.encode()) for text in texts)
    assert sum(tokenizer.bytes_per_token[id] for id in targets.tolist()) == total_bytes
    for rank in ranks:
        assert (rank.documents, rank.tokens, rank.bytes) == (len(texts), len(targets), total_bytes)
        batches = list(rank)
        assert len(batches) == len(rank) == len(ranks[0])
        assert all(batch.inputs_BT.shape == batch.targets_BT.shape == (3, 16) for batch in batches)
        assert all(batch.inputs_BT.dtype == batch.targets_BT.dtype == torch.int64 for batch in batches)


def test_padding_is_bos_and_ignored(tokenizer: ReferenceTokenizer, make_shards: MakeShards) -> None:
    (batch,) = loader(make_shards(["xyz", "uv"]), tokenizer)
    bos = tokenizer.special["<|bos|>"]
    assert batch.inputs_BT.tolist() == [[bos, *b"xy", bos, *b"u", *[bos] * 11], [bos] * 16, [bos] * 16]
    assert batch.targets_BT.tolist() == [[*b"xyzuv", *[IGNORED] * 11], [IGNORED] * 16, [IGNORED] * 16]


def test_rows_are_nearly_full(tokenizer: ReferenceTokenizer, texts: list[str], make_shards: MakeShards) -> None:
    rows = loader(make_shards(texts), tokenizer, batch_size=1)
    assert rows.tokens > 0.95 * 16 * len(rows)


def test_iterating_again_gives_the_same(
    tokenizer: ReferenceTokenizer, texts: list[str], make_shards: MakeShards
) -> None:
    paths = make_shards(texts)
    rows, other = loader(paths, tokenizer), loader(paths, tokenizer, tokenizer_batch=2, tokenizer_threads=1)
    first = [(batch.inputs_BT, batch.targets_BT) for batch in rows]
    for again in (rows, other):
        for (inputs_BT, targets_BT), batch in zip(first, again, strict=True):
            assert torch.equal(batch.inputs_BT, inputs_BT)
            assert torch.equal(batch.targets_BT, targets_BT)


def test_a_limit_takes_whole_documents_from_the_first_on(
    tokenizer: ReferenceTokenizer, make_shards: MakeShards
) -> None:
    paths = make_shards(["a" * 10, "b" * 10, "c" * 10, "d" * 10], shards=1)
    for limit, tokens in ((1, 10), (10, 10), (19, 10), (20, 20), (39, 30), (40, 40), (10**9, 40)):
        rows = loader(paths, tokenizer, max_tokens=limit)
        assert (rows.tokens, rows.bytes, rows.documents) == (tokens, tokens, tokens // 10)
        assert len(rows) >= 1


def test_nothing_to_score(tokenizer: ReferenceTokenizer, make_shards: MakeShards) -> None:
    with pytest.raises(DataError, match="hold no token") as caught:
        loader(make_shards(["", ""]), tokenizer)
    assert "--val-fraction" in str(caught.value)


def test_wrong_settings(tokenizer: ReferenceTokenizer, make_shards: MakeShards) -> None:
    paths = make_shards(["a", "b"])
    for settings in ({"max_tokens": 0}, {"batch_size": 0}, {"sequence_len": 0}, {"rank": 1, "world_size": 1}):
        with pytest.raises(ContractError):
            loader(paths, tokenizer, **settings)
