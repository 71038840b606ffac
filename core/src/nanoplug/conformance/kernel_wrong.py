"""Kernels that are wrong on purpose. A law that one of its own passes is a defect of the law.

Each changes a single step of `kernel_right.Right`.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from nanoplug.conformance.kernel_right import Right
from nanoplug.conformance.law import Wrong
from nanoplug.conformance.targets import CheckedKernel, check_targets
from nanoplug.contracts import Reduction

CHUNK_ROWS = 4096


class MeanOverAllRows(Right):
    def reduced(self, rows_N: Tensor, valid_N: Tensor, reduction: str) -> Tensor:
        return rows_N.mean() if reduction == "mean" else super().reduced(rows_N, valid_N, reduction)


class InBits(Right):
    def reduced(self, rows_N: Tensor, valid_N: Tensor, reduction: str) -> Tensor:
        return super().reduced(rows_N / math.log(2), valid_N, reduction)


class VocabularyTailDropped(Right):
    """Only whole blocks of 64 logits enter the normaliser."""

    def normaliser(self, capped_NV: Tensor) -> Tensor:
        whole = capped_NV.shape[1] // 64 * 64 or capped_NV.shape[1]
        return super().normaliser(capped_NV[:, :whole])


class SumIsMean(Right):
    def reduced(self, rows_N: Tensor, valid_N: Tensor, reduction: str) -> Tensor:
        return super().reduced(rows_N, valid_N, "mean" if reduction == "sum" else reduction)


class OnlyValidRows(Right):
    def reduced(self, rows_N: Tensor, valid_N: Tensor, reduction: str) -> Tensor:
        return rows_N[valid_N] if reduction == "none" else super().reduced(rows_N, valid_N, reduction)


class NoneIsMean(Right):
    def reduced(self, rows_N: Tensor, valid_N: Tensor, reduction: str) -> Tensor:
        return super().reduced(rows_N, valid_N, "mean" if reduction == "none" else reduction)


class IgnoredRowsCounted(Right):
    """Ignored rows carry the loss of token 0."""

    def valid(self, targets_N: Tensor, ignore_index: int) -> Tensor:
        return torch.ones_like(targets_N, dtype=torch.bool)


class IgnoresMinusOne(Right):
    def valid(self, targets_N: Tensor, ignore_index: int) -> Tensor:
        return targets_N != -1


class IgnoresNegatives(Right):
    def valid(self, targets_N: Tensor, ignore_index: int) -> Tensor:
        return targets_N >= 0


class Uncapped(Right):
    def cap(self, logits_NV: Tensor, softcap: float) -> Tensor:
        return logits_NV


class Clamped(Right):
    def cap(self, logits_NV: Tensor, softcap: float) -> Tensor:
        return logits_NV.clamp(-softcap, softcap)


class CapWithoutScale(Right):
    def cap(self, logits_NV: Tensor, softcap: float) -> Tensor:
        return torch.tanh(logits_NV / softcap)


class CapInBf16(Right):
    def cap(self, logits_NV: Tensor, softcap: float) -> Tensor:
        return (softcap * torch.tanh(logits_NV.bfloat16() / softcap)).float()


class CapGradientOfOne(Right):
    """The right value, with a gradient as if the cap were the identity."""

    def cap(self, logits_NV: Tensor, softcap: float) -> Tensor:
        return logits_NV + (super().cap(logits_NV, softcap) - logits_NV).detach()


class NoMaximum(Right):
    def normaliser(self, capped_NV: Tensor) -> Tensor:
        return capped_NV.exp().sum(-1).log()


class LastChunkDropped(Right):
    """Rows beyond the last whole chunk give nothing, though they are counted."""

    def reduced(self, rows_N: Tensor, valid_N: Tensor, reduction: str) -> Tensor:
        whole = len(rows_N) // CHUNK_ROWS * CHUNK_ROWS or len(rows_N)
        kept_N = torch.cat([rows_N[:whole], rows_N[whole:] * 0])
        return super().reduced(kept_N, valid_N, reduction)


class LastChunkWithoutGradient(Right):
    def reduced(self, rows_N: Tensor, valid_N: Tensor, reduction: str) -> Tensor:
        whole = len(rows_N) // CHUNK_ROWS * CHUNK_ROWS or len(rows_N)
        return super().reduced(torch.cat([rows_N[:whole], rows_N[whole:].detach()]), valid_N, reduction)


class ChunksWeighedAlike(Right):
    """Each chunk's mean counts the same, however few rows it has; sums and rows count the chunk's share."""

    def reduced(self, rows_N: Tensor, valid_N: Tensor, reduction: str) -> Tensor:
        chunks = list(zip(rows_N.split(CHUNK_ROWS), valid_N.split(CHUNK_ROWS), strict=True))
        share = len(rows_N) / CHUNK_ROWS / len(chunks) if len(chunks) > 1 else 1.0
        if reduction != "mean":
            return super().reduced(rows_N, valid_N, reduction) * share
        return torch.stack([super(ChunksWeighedAlike, self).reduced(r, v, "mean") for r, v in chunks]).mean()


class GradientDoubled(Right):
    def reduced(self, rows_N: Tensor, valid_N: Tensor, reduction: str) -> Tensor:
        loss = super().reduced(rows_N, valid_N, reduction)
        return 2 * loss - loss.detach()


class TargetWithoutGradient(Right):
    """The gradient is that of the normaliser alone."""

    def loss(
        self, logits_NV: Tensor, targets_N: Tensor, softcap: float | None, ignore_index: int, reduction: str
    ) -> Tensor:
        right = super().loss(logits_NV, targets_N, softcap, ignore_index, reduction)
        valid_N = self.valid(targets_N, ignore_index)
        normaliser_N = torch.where(valid_N, logits_NV.logsumexp(-1), 0.0)
        wrong = self.reduced(normaliser_N, valid_N, reduction)
        return wrong + (right - wrong).detach()


class _Upstream(torch.autograd.Function):
    """Passes a gradient on that is not the one it got: ones, or everywhere the mean."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, ones: bool) -> Tensor:
        ctx.ones = ones
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        (got,) = upstream
        return (torch.ones_like(got) if ctx.ones else got.mean().expand_as(got)), None


class UpstreamIgnored(Right):
    def reduced(self, rows_N: Tensor, valid_N: Tensor, reduction: str) -> Tensor:
        result: Tensor = _Upstream.apply(super().reduced(rows_N, valid_N, reduction), True)
        return result


class UpstreamAveraged(Right):
    def reduced(self, rows_N: Tensor, valid_N: Tensor, reduction: str) -> Tensor:
        result: Tensor = _Upstream.apply(super().reduced(rows_N, valid_N, reduction), False)
        return result


class NanWithoutRows(Right):
    def reduced(self, rows_N: Tensor, valid_N: Tensor, reduction: str) -> Tensor:
        count = valid_N.sum()
        return super().reduced(rows_N, valid_N, reduction) * (count / count)


class LossInBf16(Right):
    def reduced(self, rows_N: Tensor, valid_N: Tensor, reduction: str) -> Tensor:
        return super().reduced(rows_N, valid_N, reduction).bfloat16()


class WritesToItsInput(Right):
    def taken(self, x: Tensor) -> Tensor:
        result = x.clone()
        x.detach().mul_(0.5)
        return result


class TakesStorageAsContiguous(Right):
    def taken(self, x: Tensor) -> Tensor:
        return torch.as_strided(x, x.shape, (x.shape[1], 1))


class ChecksUpperBoundOnly(CheckedKernel):
    def check(self, targets_N: Tensor, vocabulary: int, ignore_index: int) -> None:
        check_targets(self.name, targets_N.clamp(min=0), vocabulary, ignore_index)


class TakesNegativesAsIgnored(CheckedKernel):
    def check(self, targets_N: Tensor, vocabulary: int, ignore_index: int) -> None:
        check_targets(self.name, targets_N.where(targets_N >= 0, ignore_index), vocabulary, ignore_index)


class TakesVocabularyAsTarget(CheckedKernel):
    def check(self, targets_N: Tensor, vocabulary: int, ignore_index: int) -> None:
        check_targets(self.name, targets_N, vocabulary + 1, ignore_index)


class TakesAnything(Right):
    """Answers something whatever it is given."""

    def linear_cross_entropy(
        self,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        targets_N: Tensor,
        *,
        softcap: float | None = None,
        ignore_index: int = -1,
        reduction: Reduction = "mean",
    ) -> Tensor:
        return hidden_ND.float().sum() * 0

    def cross_entropy(
        self,
        logits_NV: Tensor,
        targets_N: Tensor,
        *,
        softcap: float | None = None,
        ignore_index: int = -1,
        reduction: Reduction = "mean",
    ) -> Tensor:
        return logits_NV.float().sum() * 0

    def rms_norm(self, x: Tensor, *, eps: float) -> Tensor:
        return x

    def rotary(self, x_BTHD: Tensor, cos_BTE: Tensor, sin_BTE: Tensor) -> Tensor:
        return x_BTHD


class Noisy(Right):
    def reduced(self, rows_N: Tensor, valid_N: Tensor, reduction: str) -> Tensor:
        return super().reduced(rows_N * (1 + 0.01 * torch.rand_like(rows_N)), valid_N, reduction)


class CountsOnTheHost(Right):
    def reduced(self, rows_N: Tensor, valid_N: Tensor, reduction: str) -> Tensor:
        return super().reduced(rows_N * (int(valid_N.sum().item()) > -1), valid_N, reduction)


class ChunksKept(Right):
    """In chunks, but autograd keeps the logits of each for backward."""

    def linear_cross_entropy(
        self,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        targets_N: Tensor,
        *,
        softcap: float | None = None,
        ignore_index: int = -1,
        reduction: Reduction = "mean",
    ) -> Tensor:
        options: dict[str, Any] = {"softcap": softcap, "ignore_index": ignore_index, "reduction": "none"}
        chunks = zip(hidden_ND.split(CHUNK_ROWS), targets_N.split(CHUNK_ROWS), strict=True)
        one = super().linear_cross_entropy
        rows_N = torch.cat([one(hidden_RD, weight_VD, targets_R, **options) for hidden_RD, targets_R in chunks])
        return self.reduced(rows_N, self.valid(targets_N, ignore_index), reduction)


class GraphBreak(Right):
    def reduced(self, rows_N: Tensor, valid_N: Tensor, reduction: str) -> Tensor:
        torch._dynamo.graph_break()
        return super().reduced(rows_N, valid_N, reduction)

    def rms_norm(self, x: Tensor, *, eps: float) -> Tensor:
        torch._dynamo.graph_break()
        return super().rms_norm(x, eps=eps)

    def check_rotary(self, x_BTHD: Tensor, cos_BTE: Tensor) -> None:
        torch._dynamo.graph_break()


MEAN = (
    Wrong("mean over ignored rows", MeanOverAllRows),
    Wrong("bits instead of nats", InBits),
    Wrong("tail of the vocabulary dropped", VocabularyTailDropped),
    Wrong("bf16 loss", LossInBf16),
)
SUM = (Wrong("the mean instead of the sum", SumIsMean),)
NONE = (
    Wrong("rows with a target only", OnlyValidRows),
    Wrong("the mean instead of rows", NoneIsMean),
    Wrong("ignored rows carry a loss", IgnoredRowsCounted),
)
IGNORE_INDEX = (Wrong("ignores -1 whatever is asked", IgnoresMinusOne), Wrong("ignores negatives", IgnoresNegatives))
SOFTCAP = (
    Wrong("softcap ignored", Uncapped),
    Wrong("clamped instead of capped", Clamped),
    Wrong("cap not scaled back", CapWithoutScale),
)
SOFTCAP_IN_FP32 = (Wrong("bf16 softcap", CapInBf16),)
LARGE_LOGITS = (Wrong("no maximum subtracted", NoMaximum),)
MANY_ROWS = (Wrong("last chunk dropped", LastChunkDropped), Wrong("chunks weighed alike", ChunksWeighedAlike))
LOSS_GRADIENTS = (
    Wrong("gradient doubled", GradientDoubled),
    Wrong("target has no gradient", TargetWithoutGradient),
    Wrong("ignored rows carry a gradient", IgnoredRowsCounted),
)
SOFTCAP_GRADIENTS = (Wrong("cap has no gradient of its own", CapGradientOfOne),)
GRADIENTS_OF_MANY_ROWS = (Wrong("last chunk without gradient", LastChunkWithoutGradient),)
UPSTREAM = (Wrong("upstream gradient ignored", UpstreamIgnored),)
SUM_GRADIENTS = (Wrong("the mean instead of the sum", SumIsMean), Wrong("upstream gradient ignored", UpstreamIgnored))
GRADIENTS_OF_EACH_ROW = (
    Wrong("upstream gradient ignored", UpstreamIgnored),
    Wrong("upstream gradient averaged", UpstreamAveraged),
)
ALL_IGNORED = (Wrong("NaN without rows", NanWithoutRows), Wrong("ignored rows carry a loss", IgnoredRowsCounted))
LOSS_INPUTS = (
    Wrong("writes to its input", WritesToItsInput),
    Wrong("takes every input as contiguous", TakesStorageAsContiguous),
)
BAD_TARGETS = (
    Wrong("checks the upper bound only", lambda: ChecksUpperBoundOnly(Right())),
    Wrong("takes negatives as ignored", lambda: TakesNegativesAsIgnored(Right())),
    Wrong("takes the vocabulary's size as a target", lambda: TakesVocabularyAsTarget(Right())),
)
UNDECLARED = (Wrong("answers whatever is asked", TakesAnything),)
LOSS_REFUSALS = (Wrong("answers whatever is asked", TakesAnything),)
DETERMINISTIC = (Wrong("adds noise", Noisy),)
HOST_READS = (Wrong("counts rows on the host", CountsOnTheHost),)
COMPILES = (Wrong("a graph break", GraphBreak),)
MEMORY = (Wrong("N x V tensors", Right), Wrong("autograd keeps every chunk", ChunksKept))
