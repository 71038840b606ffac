from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve

from nanoplug.errors import CheckpointError
from nanoplug.registry.machine import Machine
from nanoplug.registry.piece import Piece
from nanoplug.registry.receipt import Receipt

FA3 = Piece(
    site="attention.train",
    kind="attention",
    name="fa3",
    id="nanoplug-attention-fa3:fa3",
    distribution="nanoplug-attention-fa3",
    version="1.0.0",
    files_sha256="a" * 64,
    options={},
    capabilities={"window": True, "dtypes": ["bf16"]},
    why="by name",
    backend=None,
)
TORCH = evolve(FA3, site="kernel.reference", kind="kernel", name="torch", id="t:torch", distribution="t")
TRITON = evolve(
    FA3,
    site="kernel",
    kind="kernel",
    name="triton",
    id="n:triton",
    distribution="n",
    options={"chunk_rows": 4096},
    providers={"rotary": "t:torch"},
    completed_by=TORCH,
)


def test_what_is_written_is_read_back() -> None:
    receipt = Receipt.of([evolve(FA3, rejected=(("d:x", ("is broken",)),)), TRITON])
    again = Receipt.from_json(receipt.to_json())
    assert again == receipt
    assert again.sha256 == receipt.sha256 == json.loads(receipt.to_json())["sha256"]
    assert again.differences(receipt) == []


def test_it_holds_all_of_a_piece_and_what_completes_it() -> None:
    document = json.loads(Receipt.of([FA3, TRITON]).to_json())
    assert [piece["site"] for piece in document["pieces"]] == ["attention.train", "kernel", "kernel.reference"]
    assert set(document["pieces"][0]) == {
        "site", "kind", "name", "id", "distribution", "version", "files_sha256", "options", "capabilities", "why",
        "rejected", "tuning", "providers",
    }  # fmt: skip
    machine = Machine.here()
    assert document["torch"] == (machine.distribution("torch") or "")
    assert document["python"] == machine.python
    assert document["devices"] == list(machine.names)


@pytest.mark.parametrize(
    "pieces, lines",
    [
        (
            [evolve(FA3, version="1.1.0", files_sha256="b" * 64), TRITON],
            ["attention.train fa3  nanoplug-attention-fa3 1.0.0 -> 1.1.0"],
        ),
        ([FA3, evolve(TRITON, options={"chunk_rows": 8192})], ["kernel triton options chunk_rows 4096 -> 8192"]),
        (
            [evolve(FA3, files_sha256="b" * 64), TRITON],
            [f"attention.train fa3  nanoplug-attention-fa3 1.0.0 files {'a' * 12} -> {'b' * 12}"],
        ),
        (
            [evolve(FA3, name="sdpa", distribution="s", version="2"), TRITON],
            ["attention.train fa3 -> sdpa  nanoplug-attention-fa3 1.0.0 -> s 2"],
        ),
        ([TRITON], ["attention.train fa3  nanoplug-attention-fa3 1.0.0 removed"]),
        (
            [FA3, TRITON, evolve(FA3, site="attention.decode")],
            ["attention.decode fa3  nanoplug-attention-fa3 1.0.0 added"],
        ),
        (
            [evolve(FA3, capabilities={"window": False, "dtypes": ["bf16"]}), TRITON],
            ["attention.train fa3 capabilities window True -> False"],
        ),
    ],
)
def test_a_change_is_one_readable_line_and_another_hash(pieces: list[Piece], lines: list[str]) -> None:
    old, new = Receipt.of([FA3, TRITON]), Receipt.of(pieces)
    assert old.differences(new) == lines
    assert old.sha256 != new.sha256


def test_versions_and_devices_count() -> None:
    receipt = Receipt.of([FA3])
    other = evolve(receipt, torch="9.9", python="3.99.0", core="2.0", devices=("H200",))
    assert [line.split()[0] for line in receipt.differences(other)] == ["core", "torch", "python", "devices"]
    assert receipt.sha256 != other.sha256


def test_why_it_was_chosen_may_change() -> None:
    old = Receipt.of([FA3])
    new = Receipt.of([evolve(FA3, why="auto", rejected=(("d:x", ("is broken",)),))])
    assert old.sha256 == new.sha256
    assert old.differences(new) == []


@pytest.mark.parametrize("spoil", ["{", "[]", "{}", '{"format": 99}'])
def test_what_is_no_receipt_is_refused(spoil: str) -> None:
    with pytest.raises(CheckpointError):
        Receipt.from_json(spoil)


def test_an_edited_receipt_is_refused() -> None:
    document: dict[str, Any] = json.loads(Receipt.of([FA3]).to_json())
    document["pieces"][0]["version"] = "6.6.6"
    with pytest.raises(CheckpointError, match="sha256"):
        Receipt.from_json(json.dumps(document))
    del document["pieces"][0]["version"]
    with pytest.raises(CheckpointError, match="version"):
        Receipt.from_json(json.dumps(document))


def test_ranks_agree_on_the_times_that_chose_and_a_run_goes_on_after_tuning() -> None:
    tuned, again = (Receipt.of([evolve(FA3, tuning=mark * 64), TRITON]) for mark in "ab")
    by_rank = Receipt.of([FA3, TRITON])
    assert len({tuned.agreement, again.agreement, by_rank.agreement}) == 3
    assert tuned.sha256 == again.sha256 == by_rank.sha256
    assert tuned.differences(again) == []
    assert Receipt.from_json(tuned.to_json()).agreement == tuned.agreement
