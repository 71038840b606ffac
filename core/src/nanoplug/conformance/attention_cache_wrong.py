"""Cached calls that are wrong on purpose; see `attention_wrong`."""

from __future__ import annotations

import torch
from torch import Tensor

from nanoplug.conformance.attention_wrong import (
    FirstGroupOnly,
    GraphBreak,
    HeadsInterleaved,
    Right,
    TakesAnything,
    WindowIgnored,
    WindowOneLong,
    WindowOneShort,
)
from nanoplug.conformance.law import Wrong
from nanoplug.contracts import LayerCache, Mask


class PositionOfRowZero(Right):
    """All rows are taken to stand where row 0 stands."""

    def positions(self, cache: LayerCache, tokens: int) -> Tensor:
        return super().positions(cache, tokens)[:1].expand(cache.lengths_B.shape[0], -1)


class PositionOfLongest(Right):
    def positions(self, cache: LayerCache, tokens: int) -> Tensor:
        positions_BT = super().positions(cache, tokens)
        return positions_BT - positions_BT[:, :1] + cache.longest


class MaskOfLongest(Right):
    """Writes in the right places, but masks every row as if it were the longest: leftovers are read."""

    def seen_cached(self, positions_BT: Tensor, keys: int, mask: Mask) -> Tensor:
        return super().seen_cached(positions_BT - positions_BT[:, -1:] + keys - 1, keys, mask)


class WindowOfLongest(Right):
    """The window is cut from the longest row's end, for all rows."""

    def seen_cached(self, positions_BT: Tensor, keys: int, mask: Mask) -> Tensor:
        if mask.window < 0:
            return super().seen_cached(positions_BT, keys, mask)
        causal_BTS = super().seen_cached(positions_BT, keys, Mask())
        start = max(0, keys - positions_BT.shape[1] - mask.window)
        later_S = torch.arange(keys, device=positions_BT.device) >= start
        first_S = torch.arange(keys, device=positions_BT.device) == 0
        return causal_BTS & (later_S | first_S)


class ReadsWholeCache(Right):
    def keys_read(self, cache: LayerCache, tokens: int) -> int:
        return cache.k_BSGD.shape[1]

    def seen_cached(self, positions_BT: Tensor, keys: int, mask: Mask) -> Tensor:
        return torch.ones(*positions_BT.shape, keys, dtype=torch.bool, device=positions_BT.device)


class NewTokensSeeEachOther(Right):
    def seen_cached(self, positions_BT: Tensor, keys: int, mask: Mask) -> Tensor:
        return super().seen_cached(positions_BT[:, -1:].expand_as(positions_BT), keys, mask)


class Forgets(Right):
    """Attends to the new keys only."""

    def attend_cached(self, q_BTHD: Tensor, k_BTGD: Tensor, v_BTGD: Tensor, cache: LayerCache, *, mask: Mask) -> Tensor:
        super().attend_cached(q_BTHD, k_BTGD, v_BTGD, cache, mask=mask)
        return self.attend(q_BTHD, k_BTGD, v_BTGD, mask=mask)


class WritesNothing(Right):
    """Answers rightly from a copy, and leaves the cache as it was."""

    def attend_cached(self, q_BTHD: Tensor, k_BTGD: Tensor, v_BTGD: Tensor, cache: LayerCache, *, mask: Mask) -> Tensor:
        copy = LayerCache(cache.k_BSGD.clone(), cache.v_BSGD.clone(), cache.lengths_B, cache.longest, cache.uniform)
        return super().attend_cached(q_BTHD, k_BTGD, v_BTGD, copy, mask=mask)


class ClearsTheRest(Right):
    def write(self, cache: LayerCache, positions_BT: Tensor, k_BTGD: Tensor, v_BTGD: Tensor) -> None:
        super().write(cache, positions_BT, k_BTGD, v_BTGD)
        cache.k_BSGD[:, cache.longest + k_BTGD.shape[1] :] = 0
        cache.v_BSGD[:, cache.longest + k_BTGD.shape[1] :] = 0


class Advances(Right):
    def write(self, cache: LayerCache, positions_BT: Tensor, k_BTGD: Tensor, v_BTGD: Tensor) -> None:
        super().write(cache, positions_BT, k_BTGD, v_BTGD)
        cache.lengths_B += k_BTGD.shape[1]


class ValuesOneLate(Right):
    """Values are written one place later than keys, where there is one."""

    def write(self, cache: LayerCache, positions_BT: Tensor, k_BTGD: Tensor, v_BTGD: Tensor) -> None:
        super().write(cache, positions_BT, k_BTGD, cache.v_BSGD.gather(1, _index(positions_BT, v_BTGD)))
        late_BT = (positions_BT + 1).clamp(max=cache.v_BSGD.shape[1] - 1)
        cache.v_BSGD.scatter_(1, _index(late_BT, v_BTGD), v_BTGD)


class OverflowClamped(Right):
    """Overwrites the last places when the cache is full."""

    def attend_cached(self, q_BTHD: Tensor, k_BTGD: Tensor, v_BTGD: Tensor, cache: LayerCache, *, mask: Mask) -> Tensor:
        positions_BT = self.positions(cache, q_BTHD.shape[1]).clamp(max=cache.k_BSGD.shape[1] - 1)
        self.write(cache, positions_BT, k_BTGD, v_BTGD)
        seen_BTS = self.seen_cached(positions_BT, cache.k_BSGD.shape[1], mask)
        return self.mix(q_BTHD, cache.k_BSGD, cache.v_BSGD, seen_BTS)


class OverflowFoundTooLate(Right):
    """Writes what fits, then raises."""

    def attend_cached(self, q_BTHD: Tensor, k_BTGD: Tensor, v_BTGD: Tensor, cache: LayerCache, *, mask: Mask) -> Tensor:
        positions_BT = self.positions(cache, q_BTHD.shape[1])
        self.write(cache, positions_BT.clamp(max=cache.k_BSGD.shape[1] - 1), k_BTGD, v_BTGD)
        return super().attend_cached(q_BTHD, k_BTGD, v_BTGD, cache, mask=mask)


class ReadsTheLength(Right):
    def positions(self, cache: LayerCache, tokens: int) -> Tensor:
        first = int(cache.lengths_B[0].item())
        return super().positions(cache, tokens) - first + first


def _index(positions_BT: Tensor, like_BTGD: Tensor) -> Tensor:
    return positions_BT[:, :, None, None].expand_as(like_BTGD)


OUTPUT = (
    Wrong("position of row 0 for all rows", PositionOfRowZero),
    Wrong("position of the longest row for all rows", PositionOfLongest),
    Wrong("mask of the longest row for all rows", MaskOfLongest),
    Wrong("reads beyond the length", ReadsWholeCache),
    Wrong("new tokens see later ones", NewTokensSeeEachOther),
    Wrong("sees new keys only", Forgets),
)
GROUPED_HEADS = (Wrong("heads interleaved over groups", HeadsInterleaved), Wrong("first group only", FirstGroupOnly))
WINDOW = (
    Wrong("window one key short", WindowOneShort),
    Wrong("window one key long", WindowOneLong),
    Wrong("window ignored", WindowIgnored),
    Wrong("window of the longest row for all rows", WindowOfLongest),
)
SEQUENCE = (Wrong("writes nothing", WritesNothing), Wrong("values one place late", ValuesOneLate))
WRITES = (
    Wrong("writes nothing", WritesNothing),
    Wrong("clears the rest", ClearsTheRest),
    Wrong("advances the lengths", Advances),
    Wrong("values one place late", ValuesOneLate),
    Wrong("position of the longest row for all rows", PositionOfLongest),
)
OVERFLOW = (Wrong("overwrites the last place", OverflowClamped), Wrong("raises after writing", OverflowFoundTooLate))
HOST_READS = (Wrong("reads a length on the host", ReadsTheLength),)
REFUSALS = (Wrong("takes anything", TakesAnything),)
COMPILES = (Wrong("a graph break", GraphBreak),)
