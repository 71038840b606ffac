"""Host reads are seen, and so is the memory that a call holds, inside custom operators too."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nanoplug.conformance.watch import HostReads, peak_bytes

MIB = 2**20
X = torch.randn(256, 1024)


def test_reads_of_the_host_are_seen() -> None:
    with HostReads() as reads:
        X.sum() + 1
    assert reads.seen == []
    with HostReads() as reads:
        X[0, 0].item()
        X[X > 0].sum()
        X.nonzero()
    assert reads.seen == ["aten::_local_scalar_dense", "aten::index", "aten::nonzero"]
    with HostReads() as reads:
        X[torch.tensor([0, 3])].sum()
    assert reads.seen == []


def test_peak_counts_what_is_held_at_once() -> None:
    def one_after_the_other() -> Tensor:
        y = X
        for _ in range(5):
            y = y + 1
        return y

    def all_together() -> Tensor:
        return torch.cat([X + number for number in range(5)])

    assert 2 * MIB <= peak_bytes(one_after_the_other, "cpu") < 2.5 * MIB
    assert 10 * MIB <= peak_bytes(all_together, "cpu") < 10.5 * MIB


def test_peak_looks_inside_custom_operators() -> None:
    @torch.library.custom_op("nanoplug_test::wasteful", mutates_args=(), schema="(Tensor x) -> Tensor")
    def wasteful(x: Tensor) -> Tensor:
        return torch.stack([x + number for number in range(7)]).sum()

    assert peak_bytes(lambda: wasteful(X), "cpu") >= 14 * MIB


def test_the_profiler_writes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    peak_bytes(lambda: X + 1, "cpu")
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
