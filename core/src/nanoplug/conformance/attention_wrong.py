"""Attention backends that are wrong on purpose. A law that one of its own passes is a defect of the law.

`Right` serves the contract plainly; each wrong one changes a single step of it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nanoplug.conformance.law import Wrong
from nanoplug.contracts import LayerCache, Mask, check_attention, check_cache
from nanoplug.spec import DTYPES


class Right:
    """Plain attention in fp32, rounded to the dtype of q, in steps that a wrong twin overrides."""

    def attend(self, q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, *, mask: Mask) -> Tensor:
        check_attention("plain", q_BTHD, k_BSGD, v_BSGD, mask, dtypes=DTYPES)
        tokens, keys = q_BTHD.shape[1], k_BSGD.shape[1]
        positions_T = torch.arange(keys - tokens, keys, device=q_BTHD.device)
        seen_BTS = self.seen(positions_T[None], keys, mask, q_BTHD.shape[0])
        return self.mix(q_BTHD, k_BSGD, v_BSGD, seen_BTS)

    def attend_cached(self, q_BTHD: Tensor, k_BTGD: Tensor, v_BTGD: Tensor, cache: LayerCache, *, mask: Mask) -> Tensor:
        check_attention("plain", q_BTHD, k_BTGD, v_BTGD, mask, dtypes=DTYPES, cached=True)
        check_cache("plain", k_BTGD, cache)
        positions_BT = self.positions(cache, q_BTHD.shape[1])
        self.write(cache, positions_BT, k_BTGD, v_BTGD)
        keys = self.keys_read(cache, q_BTHD.shape[1])
        seen_BTS = self.seen_cached(positions_BT, keys, mask)
        return self.mix(q_BTHD, cache.k_BSGD[:, :keys], cache.v_BSGD[:, :keys], seen_BTS)

    def positions(self, cache: LayerCache, tokens: int) -> Tensor:
        return cache.lengths_B.long()[:, None] + torch.arange(tokens, device=cache.lengths_B.device)

    def keys_read(self, cache: LayerCache, tokens: int) -> int:
        return cache.longest + tokens

    def write(self, cache: LayerCache, positions_BT: Tensor, k_BTGD: Tensor, v_BTGD: Tensor) -> None:
        rows_B1 = torch.arange(k_BTGD.shape[0], device=k_BTGD.device)[:, None]
        cache.k_BSGD[rows_B1, positions_BT] = k_BTGD
        cache.v_BSGD[rows_B1, positions_BT] = v_BTGD

    def seen(self, positions_BT: Tensor, keys: int, mask: Mask, batch: int) -> Tensor:
        """(B, T, S) bool: who sees whom."""
        distance_BTS = positions_BT[:, :, None] - torch.arange(keys, device=positions_BT.device)
        seen_BTS = torch.ones_like(distance_BTS, dtype=torch.bool)
        if mask.causal:
            seen_BTS = seen_BTS & (distance_BTS >= 0)
        if mask.window >= 0:
            seen_BTS = seen_BTS & self.in_window(distance_BTS, mask.window)
        if mask.segments_BT is not None:
            seen_BTS = seen_BTS & self.same_segment(mask.segments_BT[:, :, None], mask.segments_BT[:, None, :])
        return seen_BTS.expand(batch, -1, -1)

    def seen_cached(self, positions_BT: Tensor, keys: int, mask: Mask) -> Tensor:
        return self.seen(positions_BT, keys, mask, positions_BT.shape[0])

    def in_window(self, distance_BTS: Tensor, window: int) -> Tensor:
        return distance_BTS <= window

    def same_segment(self, query_BT1: Tensor, key_B1S: Tensor) -> Tensor:
        return query_BT1 == key_B1S

    def group_of_head(self, heads: int, groups: int) -> list[int]:
        return [head // (heads // groups) for head in range(heads)]

    def scale(self, head_dim: int) -> float:
        return float(head_dim**-0.5)

    def weights(self, scores_BHTS: Tensor, seen_BTS: Tensor) -> Tensor:
        return scores_BHTS.masked_fill(~seen_BTS[:, None], -torch.inf).softmax(-1)

    def mix(self, q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, seen_BTS: Tensor) -> Tensor:
        index = torch.tensor(self.group_of_head(q_BTHD.shape[2], k_BSGD.shape[2]), device=q_BTHD.device)
        k_BSHD, v_BSHD = (x.float().index_select(2, index) for x in (k_BSGD, v_BSGD))
        scores_BHTS = torch.einsum("bthd,bshd->bhts", q_BTHD.float(), k_BSHD) * self.scale(q_BTHD.shape[-1])
        output_BTHD = torch.einsum("bhts,bshd->bthd", self.weights(scores_BHTS, seen_BTS), v_BSHD)
        return output_BTHD.to(q_BTHD.dtype)


class Unscaled(Right):
    def scale(self, head_dim: int) -> float:
        return 1.0


class SeesAll(Right):
    def seen(self, positions_BT: Tensor, keys: int, mask: Mask, batch: int) -> Tensor:
        return super().seen(positions_BT, keys, Mask(causal=False), batch)


class AlignedToTheStart(Right):
    def attend(self, q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, *, mask: Mask) -> Tensor:
        positions_1T = torch.arange(q_BTHD.shape[1], device=q_BTHD.device)[None]
        return self.mix(q_BTHD, k_BSGD, v_BSGD, self.seen(positions_1T, k_BSGD.shape[1], mask, q_BTHD.shape[0]))


class MissesItself(Right):
    """Sees earlier keys only, and itself where there are none."""

    def seen(self, positions_BT: Tensor, keys: int, mask: Mask, batch: int) -> Tensor:
        seen_BTS = super().seen(positions_BT, keys, mask, batch).clone()
        own_BTS = positions_BT[:, :, None] == torch.arange(keys, device=positions_BT.device)
        return seen_BTS & (~own_BTS | (positions_BT[:, :, None] == 0))


class PaddedKeys(Right):
    """Rounds keys up to a multiple of 16 with zeros in front and lets queries see them."""

    def mix(self, q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, seen_BTS: Tensor) -> Tensor:
        extra = -k_BSGD.shape[1] % 16
        k_BSGD, v_BSGD = (torch.nn.functional.pad(x, (0, 0, 0, 0, extra, 0)) for x in (k_BSGD, v_BSGD))
        seen_BTS = torch.nn.functional.pad(seen_BTS, (extra, 0), value=True)
        return super().mix(q_BTHD, k_BSGD, v_BSGD, seen_BTS)


class WindowOneShort(Right):
    def in_window(self, distance_BTS: Tensor, window: int) -> Tensor:
        return distance_BTS < max(1, window)


class WindowOneLong(Right):
    def in_window(self, distance_BTS: Tensor, window: int) -> Tensor:
        return distance_BTS <= window + 1


class WindowIgnored(Right):
    def in_window(self, distance_BTS: Tensor, window: int) -> Tensor:
        return torch.ones_like(distance_BTS, dtype=torch.bool)


class WindowOfTheChunk(Right):
    """One start for each chunk of 16 queries: later rows of the chunk see too much."""

    def in_window(self, distance_BTS: Tensor, window: int) -> Tensor:
        row_T1 = torch.arange(distance_BTS.shape[1], device=distance_BTS.device)[:, None]
        return distance_BTS <= window + row_T1 % 16


class WindowPadding(Right):
    """A window wider than what came before sees zero keys of padding in front."""

    def attend(self, q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, *, mask: Mask) -> Tensor:
        if mask.window > 0:
            pad = (0, 0, 0, 0, mask.window, 0)
            k_BSGD, v_BSGD = torch.nn.functional.pad(k_BSGD, pad), torch.nn.functional.pad(v_BSGD, pad)
        return super().attend(q_BTHD, k_BSGD, v_BSGD, mask=mask)


class HeadsInterleaved(Right):
    def group_of_head(self, heads: int, groups: int) -> list[int]:
        return [head % groups for head in range(heads)]


class FirstGroupOnly(Right):
    def group_of_head(self, heads: int, groups: int) -> list[int]:
        return [0 if heads != groups else head for head in range(heads)]


class AlwaysCausal(Right):
    def attend(self, q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, *, mask: Mask) -> Tensor:
        return super().attend(q_BTHD, k_BSGD, v_BSGD, mask=Mask(True, mask.window, mask.segments_BT))


class SegmentsIgnored(Right):
    def same_segment(self, query_BT1: Tensor, key_B1S: Tensor) -> Tensor:
        return (query_BT1 == key_B1S) | True


class SegmentsLookBack(Right):
    def same_segment(self, query_BT1: Tensor, key_B1S: Tensor) -> Tensor:
        return query_BT1 >= key_B1S


class SegmentsOfRowZero(Right):
    def same_segment(self, query_BT1: Tensor, key_B1S: Tensor) -> Tensor:
        return super().same_segment(query_BT1[:1], key_B1S[:1])


class FiniteMask(Right):
    """Hidden scores become -13.8, a probability of one in a million, instead of minus infinity."""

    def weights(self, scores_BHTS: Tensor, seen_BTS: Tensor) -> Tensor:
        return scores_BHTS.masked_fill(~seen_BTS[:, None], -13.8).softmax(-1)


class MaskAfterSoftmax(Right):
    """Hidden weights are cut after the softmax, so hidden keys still take their share."""

    def weights(self, scores_BHTS: Tensor, seen_BTS: Tensor) -> Tensor:
        return scores_BHTS.softmax(-1).masked_fill(~seen_BTS[:, None], 0.0)


class NoMaximum(Right):
    """exp without subtracting the maximum."""

    def weights(self, scores_BHTS: Tensor, seen_BTS: Tensor) -> Tensor:
        raw_BHTS = scores_BHTS.exp().masked_fill(~seen_BTS[:, None], 0.0)
        return raw_BHTS / raw_BHTS.sum(-1, keepdim=True)


class ClampedScores(Right):
    def weights(self, scores_BHTS: Tensor, seen_BTS: Tensor) -> Tensor:
        return super().weights(scores_BHTS.clamp(-50, 50), seen_BTS)


class KeysDetached(Right):
    def mix(self, q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, seen_BTS: Tensor) -> Tensor:
        return super().mix(q_BTHD, k_BSGD.detach(), v_BSGD, seen_BTS)


class MaximumLeaks(Right):
    """The normaliser is taken as a constant, so the softmax's own gradient is wrong."""

    def weights(self, scores_BHTS: Tensor, seen_BTS: Tensor) -> Tensor:
        hidden_BHTS = scores_BHTS.masked_fill(~seen_BTS[:, None], -torch.inf)
        return (hidden_BHTS - hidden_BHTS.logsumexp(-1, keepdim=True).detach()).exp()


class QueryGradientOfFullTiles(Right):
    """dq is right only where the head size fills whole tiles of 32, as seen in a fused kernel on SM 9.0."""

    def mix(self, q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, seen_BTS: Tensor) -> Tensor:
        if q_BTHD.shape[-1] % 32:
            q_BTHD = (q_BTHD + q_BTHD.detach()) / 2
        return super().mix(q_BTHD, k_BSGD, v_BSGD, seen_BTS)


class ValueGradientOfOneHead(Right):
    """dk and dv miss the query heads of a group beyond the first; without groups, dv is halved."""

    def mix(self, q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, seen_BTS: Tensor) -> Tensor:
        return super().mix(q_BTHD, k_BSGD, (v_BSGD + v_BSGD.detach()) / 2, seen_BTS)


class WritesToItsInput(Right):
    def mix(self, q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, seen_BTS: Tensor) -> Tensor:
        q_BTHD.detach().mul_(q_BTHD.shape[-1] ** -0.5)
        return super().mix(q_BTHD, k_BSGD, v_BSGD, seen_BTS)

    def scale(self, head_dim: int) -> float:
        return 1.0


class TakesStorageAsContiguous(Right):
    def attend(self, q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, *, mask: Mask) -> Tensor:
        q, k, v = (torch.as_strided(x, x.shape, torch.empty(x.shape).stride()) for x in (q_BTHD, k_BSGD, v_BSGD))
        return super().attend(q, k, v, mask=mask)


class TakesAnything(Right):
    """Cuts, repeats and converts its inputs until they fit."""

    def attend(self, q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, *, mask: Mask) -> Tensor:
        return q_BTHD.clone()

    def attend_cached(self, q_BTHD: Tensor, k_BTGD: Tensor, v_BTGD: Tensor, cache: LayerCache, *, mask: Mask) -> Tensor:
        return q_BTHD.clone()


class Noisy(Right):
    def mix(self, q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, seen_BTS: Tensor) -> Tensor:
        output_BTHD = super().mix(q_BTHD, k_BSGD, v_BSGD, seen_BTS)
        return output_BTHD * (1 + 0.01 * torch.rand_like(output_BTHD))


class GraphBreak(Right):
    def mix(self, q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, seen_BTS: Tensor) -> Tensor:
        torch._dynamo.graph_break()
        return super().mix(q_BTHD, k_BSGD, v_BSGD, seen_BTS)


CAUSAL = (
    Wrong("scores not scaled", Unscaled),
    Wrong("every key seen", SeesAll),
    Wrong("queries taken as the first of S", AlignedToTheStart),
    Wrong("a query misses its own key", MissesItself),
    Wrong("zero keys of padding seen", PaddedKeys),
    Wrong("masked after the softmax", MaskAfterSoftmax),
)
WINDOW = (
    Wrong("window one key short", WindowOneShort),
    Wrong("window one key long", WindowOneLong),
    Wrong("window ignored", WindowIgnored),
    Wrong("one window start for a chunk", WindowOfTheChunk),
    Wrong("padding leaks into the window", WindowPadding),
)
GROUPED_HEADS = (Wrong("heads interleaved over groups", HeadsInterleaved), Wrong("first group only", FirstGroupOnly))
NONCAUSAL = (Wrong("causal=False ignored", AlwaysCausal),)
SEGMENTS = (
    Wrong("segments ignored", SegmentsIgnored),
    Wrong("earlier segments seen", SegmentsLookBack),
    Wrong("segments of row 0 for all rows", SegmentsOfRowZero),
)
HIDDEN_KEYS = (
    Wrong("mask of -13.8", FiniteMask),
    Wrong("masked after the softmax", MaskAfterSoftmax),
    Wrong("every key seen", SeesAll),
)
LARGE_SCORES = (Wrong("no maximum subtracted", NoMaximum), Wrong("scores clamped", ClampedScores))
GRADIENTS = (
    Wrong("no gradient to k", KeysDetached),
    Wrong("normaliser taken as constant", MaximumLeaks),
    Wrong("half of dv", ValueGradientOfOneHead),
)
RARE_HEAD_SIZES = (Wrong("dq wrong unless D is a multiple of 32", QueryGradientOfFullTiles),)
UNDECLARED = (Wrong("window, groups, segments and causal=False ignored", TakesAnything),)
LAYOUT = (
    Wrong("writes to its input", WritesToItsInput),
    Wrong("takes every input as contiguous", TakesStorageAsContiguous),
)
REFUSALS = (Wrong("takes anything", TakesAnything),)
DETERMINISTIC = (Wrong("adds noise", Noisy),)
COMPILES = (Wrong("a graph break", GraphBreak),)
MEMORY = (Wrong("T x T tensors", Right),)
