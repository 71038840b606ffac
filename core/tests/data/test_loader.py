from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nanoplug.conformance.tokenizer_reference import ReferenceTokenizer
from nanoplug.data.loader import Batch, TrainLoader
from nanoplug.errors import ContractError, DataError

MakeShards = Callable[..., list[Path]]


def loader(paths: list[Path], tokenizer: ReferenceTokenizer, **settings: Any) -> TrainLoader:
    defaults = {
        "batch_size": 2,
        "sequence_len": 24,
        "buffer_documents": 6,
        "tokenizer_batch": 3,
        "tokenizer_threads": 1,
    }
    return TrainLoader(paths, tokenizer, **{**defaults, **settings})


def tensors(batches: list[Batch]) -> list[list[Any]]:
    return [[batch.inputs_BT.tolist(), batch.targets_BT.tolist(), batch.epoch] for batch in batches]


def take(source: TrainLoader, count: int) -> list[Batch]:
    return [next(source) for _ in range(count)]


def test_targets_are_inputs_shifted_by_one(
    tokenizer: ReferenceTokenizer, texts: list[str], make_shards: MakeShards
) -> None:
    for batch in take(loader(make_shards(texts), tokenizer, segments=True), 20):
        assert batch.inputs_BT.dtype == batch.targets_BT.dtype == torch.int64
        assert batch.inputs_BT.shape == batch.targets_BT.shape == (2, 24)
        assert batch.inputs_BT.is_contiguous()
        assert batch.targets_BT.is_contiguous()
        assert torch.equal(batch.inputs_BT[:, 1:], batch.targets_BT[:, :-1])
        bos_BT = batch.inputs_BT == tokenizer.special["<|bos|>"]
        assert bos_BT[:, 0].all()
        assert batch.segments_BT is not None
        assert batch.segments_BT.dtype == torch.int32
        assert torch.equal(batch.segments_BT, (bos_BT.cumsum(1) - 1).int())


def test_each_batch_owns_its_memory(tokenizer: ReferenceTokenizer, texts: list[str], make_shards: MakeShards) -> None:
    source = loader(make_shards(texts), tokenizer, segments=True)
    batches = take(source, 6)
    before = tensors(batches)
    storages = {
        tensor.untyped_storage().data_ptr()
        for batch in batches
        for tensor in (batch.inputs_BT, batch.targets_BT, batch.segments_BT)
        if tensor is not None
    }
    assert len(storages) == 18
    later = take(source, 6)
    later[0].inputs_BT.zero_()
    assert tensors(batches) == before


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize(("rank", "world_size"), [(0, 1), (1, 2)])
def test_a_state_leads_to_the_next_batch(
    split: bool, rank: int, world_size: int, tokenizer: ReferenceTokenizer, texts: list[str], make_shards: MakeShards
) -> None:
    paths = make_shards(texts)
    settings = {"split_documents": split, "rank": rank, "world_size": world_size}
    whole = loader(paths, tokenizer, **settings)
    states = [whole.state]
    batches = []
    for batch in whole:
        batches.append(batch)
        states.append(json.loads(json.dumps(batch.state)))
        if batch.epoch == 3:
            break
    assert len(batches) > 15
    for cut, state in enumerate(states[:-1]):
        again = loader(paths, tokenizer, tokenizer_batch=1 + cut % 7, tokenizer_threads=1 + cut % 2, **settings)
        again.load_state(state)
        assert again.state == state
        assert tensors(take(again, 3)[: len(batches) - cut]) == tensors(batches[cut : cut + 3])


def test_a_state_can_be_loaded_into_a_loader_that_has_run(
    tokenizer: ReferenceTokenizer, texts: list[str], make_shards: MakeShards
) -> None:
    source = loader(make_shards(texts), tokenizer)
    first = take(source, 10)
    source.load_state(first[2].state)
    assert tensors(take(source, 7)) == tensors(first[3:])


def test_batch_size_does_not_change_the_rows(
    tokenizer: ReferenceTokenizer, texts: list[str], make_shards: MakeShards
) -> None:
    paths = make_shards(texts)
    pairs = torch.cat([batch.inputs_BT for batch in take(loader(paths, tokenizer), 6)])
    triples = torch.cat([batch.inputs_BT for batch in take(loader(paths, tokenizer, batch_size=3), 4)])
    assert torch.equal(pairs, triples)


def test_split_documents_lose_next_to_nothing(tokenizer: ReferenceTokenizer, make_shards: MakeShards) -> None:
    paths = make_shards([f"{n}" * 400 for n in range(8)])
    shares = []
    for split in (False, True):
        source = loader(paths, tokenizer, split_documents=split)
        take(source, 50)
        assert source.counts.rows == 100
        shares.append(source.counts.cropped_share)
    assert shares[0] > 0.9
    assert shares[1] < 0.05


def test_documents_longer_than_a_row_and_a_corpus_of_two(
    tokenizer: ReferenceTokenizer, make_shards: MakeShards
) -> None:
    source = loader(make_shards(["a", "b" * 500]), tokenizer, buffer_documents=1000)
    batch = next(source)
    assert batch.inputs_BT.shape == (2, 24)
    assert len(batch.state["buffer"]) <= 1000


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"world_size": 2}, "rank 0 of 1; this is rank 0 of 2"),
        ({"sequence_len": 25}, "sequence_len: 24 -> 25"),
        ({"buffer_documents": 7}, "buffer_documents: 6 -> 7"),
        ({"split_documents": True}, "split_documents: False -> True"),
    ],
)
def test_a_state_of_other_settings(
    changed: dict[str, Any],
    message: str,
    tokenizer: ReferenceTokenizer,
    texts: list[str],
    make_shards: MakeShards,
) -> None:
    paths = make_shards(texts)
    state = next(loader(paths, tokenizer)).state
    with pytest.raises(DataError) as caught:
        loader(paths, tokenizer, **changed).load_state(state)
    assert message in str(caught.value)


def test_a_state_of_other_shards_or_tokenizer(
    tokenizer: ReferenceTokenizer, texts: list[str], make_shards: MakeShards
) -> None:
    paths = make_shards(texts)
    state = next(loader(paths, tokenizer)).state
    changed = make_shards([text.replace("x", "y") for text in texts], name="changed")
    with pytest.raises(DataError, match="not those that the state was made from") as caught:
        loader(changed, tokenizer).load_state(state)
    assert "Put the shards back" in str(caught.value)
    with pytest.raises(DataError, match="does not fit this loader"):
        loader(paths, ReferenceTokenizer([b"ab"])).load_state(state)
    with pytest.raises(DataError, match="not written by this version"):
        loader(paths, tokenizer).load_state({"pq_idx": 0})


def test_wrong_sizes(tokenizer: ReferenceTokenizer, texts: list[str], make_shards: MakeShards) -> None:
    paths = make_shards(texts)
    for name in ("batch_size", "sequence_len", "buffer_documents"):
        with pytest.raises(ContractError, match=name):
            loader(paths, tokenizer, **{name: 0})
