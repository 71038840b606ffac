from __future__ import annotations

import math

import pytest
import torch

from nanoplug.errors import ContractError
from nanoplug.model.rotary import Rotary


def test_values_follow_the_formula() -> None:
    cos_1TE, sin_1TE = Rotary(8, 100).first(100)
    for position in (0, 1, 99):
        for pair in range(4):
            angle = position * 10_000 ** (-2 * pair / 8)
            assert cos_1TE[0, position, pair].item() == pytest.approx(math.cos(angle), abs=1e-7)
            assert sin_1TE[0, position, pair].item() == pytest.approx(math.sin(angle), abs=1e-7)


def test_growing_keeps_what_was_there() -> None:
    rotary = Rotary(8, 4)
    before = [table.clone() for table in rotary.first(4)]
    rotary.reserve(5)
    assert rotary.positions >= 5
    assert all(torch.equal(old, new) for old, new in zip(before, rotary.first(4), strict=True))
    assert torch.equal(rotary.first(5)[0], Rotary(8, 50).first(5)[0])


def test_reserving_fewer_changes_nothing() -> None:
    rotary = Rotary(8, 4)
    table = rotary.cos_PE
    rotary.reserve(4)
    assert rotary.cos_PE is table


def test_rows_at_their_own_positions() -> None:
    rotary = Rotary(8, 10)
    positions_BT = torch.tensor([[0, 1], [7, 8]])
    cos_BTE, sin_BTE = rotary.at(positions_BT)
    assert cos_BTE.shape == (2, 2, 4)
    assert torch.equal(cos_BTE[1], rotary.first(9)[0][0, 7:9])
    assert torch.equal(sin_BTE[0], rotary.first(2)[1][0])


def test_beyond_the_table_is_an_error() -> None:
    with pytest.raises(ContractError, match="position 4"):
        Rotary(8, 4).first(5)
    with pytest.raises(IndexError):
        Rotary(8, 4).at(torch.tensor([[4]]))


def test_tables_stay_fp32_and_out_of_checkpoints() -> None:
    rotary = Rotary(8, 10)
    expected = rotary.cos_PE.clone()
    rotary.to(torch.bfloat16)
    assert rotary.cos_PE.dtype == torch.float32
    assert torch.equal(rotary.cos_PE, expected)
    assert rotary.state_dict() == {}


def test_tables_survive_the_meta_device() -> None:
    with torch.device("meta"):
        rotary = Rotary(8, 10)
    assert rotary.cos_PE.is_meta
    rotary.to_empty(device="cpu")
    assert torch.equal(rotary.cos_PE, Rotary(8, 10).cos_PE)
    assert torch.equal(rotary.sin_PE, Rotary(8, 10).sin_PE)
