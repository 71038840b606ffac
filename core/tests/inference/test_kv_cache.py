from __future__ import annotations

import pytest
import torch

from nanoplug.errors import ContractError
from nanoplug.inference.kv_cache import KVCache


def cache_of(batch: int, capacity: int, *, layers: int = 2, dtype: torch.dtype = torch.float32) -> KVCache:
    return KVCache(layers, batch, capacity, 3, 4, dtype, "cpu")


def filled(batch: int, tokens: int, value: float) -> KVCache:
    cache = cache_of(batch, tokens)
    cache.k_LBSGD.fill_(value)
    cache.v_LBSGD.fill_(-value)
    cache.advance(tokens)
    return cache


def test_a_layer_is_a_view_that_writes_through() -> None:
    cache = cache_of(2, 5)
    layer = cache.layer(1)
    layer.k_BSGD[1, 2] = 7.0
    assert layer.k_BSGD.shape == (2, 5, 3, 4)
    assert cache.k_LBSGD[1, 1, 2].eq(7).all()
    assert cache.k_LBSGD[0].eq(0).all()
    assert (layer.longest, layer.uniform, layer.lengths_B.dtype) == (0, True, torch.int32)


def test_host_and_device_agree_on_lengths() -> None:
    cache = cache_of(3, 8)
    cache.prefill(filled(1, 2, 1.0), filled(1, 5, 2.0), filled(1, 1, 3.0))
    cache.advance(2)
    assert cache.lengths_B.tolist() == cache.lengths == [4, 7, 3]
    assert cache.longest == 7
    assert not cache.uniform
    assert cache.positions_BT(2).tolist() == [[4, 5], [7, 8], [3, 4]]
    assert cache.positions_BT(1).dtype == torch.int64
    cache.clear_row(1)
    assert cache.lengths_B.tolist() == cache.lengths == [4, 0, 3]
    cache.reset()
    assert cache.lengths_B.tolist() == cache.lengths == [0, 0, 0]
    assert cache.uniform


def test_prefill_broadcasts_one_row_as_a_copy() -> None:
    source, cache = filled(1, 3, 5.0), cache_of(4, 6)
    cache.prefill(source)
    source.k_LBSGD.zero_()
    assert cache.lengths == [3] * 4
    assert cache.k_LBSGD[:, :, :3].eq(5).all()
    assert cache.v_LBSGD[:, :, :3].eq(-5).all()
    assert cache.k_LBSGD[:, :, 3:].eq(0).all()


def test_prefill_puts_rows_in_order() -> None:
    cache = cache_of(3, 4)
    cache.prefill(filled(2, 2, 1.0), filled(1, 4, 2.0))
    assert cache.k_LBSGD[0, :, 0, 0, 0].tolist() == [1.0, 1.0, 2.0]
    assert cache.lengths == [2, 2, 4]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (cache_of(1, 4, layers=3), "this cache has"),
        (cache_of(1, 4, dtype=torch.bfloat16), "this cache has"),
        (filled(1, 5, 1.0), "5 tokens into a capacity of 4"),
        (cache_of(3, 4), "3 rows into 2"),
    ],
)
def test_prefill_refuses_what_does_not_fit(source: KVCache, says: str) -> None:
    with pytest.raises(ContractError, match=says):
        cache_of(2, 4).prefill(source)


def test_prefill_needs_an_empty_cache() -> None:
    with pytest.raises(ContractError, match="empty"):
        filled(1, 3, 1.0).prefill(filled(1, 2, 1.0))


def test_overflow_is_refused_and_changes_nothing() -> None:
    cache = cache_of(2, 4)
    cache.prefill(filled(1, 1, 1.0), filled(1, 3, 1.0))
    with pytest.raises(ContractError, match="3 of 4"):
        cache.advance(2)
    assert cache.lengths_B.tolist() == cache.lengths == [1, 3]


def test_sizes_must_be_positive() -> None:
    with pytest.raises(ContractError, match="at least 1"):
        cache_of(0, 4)
