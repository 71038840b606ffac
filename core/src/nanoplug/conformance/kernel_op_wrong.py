"""rms_norm and rotary that are wrong on purpose; see `kernel_wrong`."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nanoplug.conformance.kernel_right import Right
from nanoplug.conformance.kernel_wrong import TakesAnything
from nanoplug.conformance.law import Wrong


class SumOfSquares(Right):
    def rms_norm(self, x: Tensor, *, eps: float) -> Tensor:
        return super().rms_norm(x, eps=eps) / math.sqrt(x.shape[-1])


class NormOverAllAxes(Right):
    def rms_norm(self, x: Tensor, *, eps: float) -> Tensor:
        return super().rms_norm(x.flatten(), eps=eps).view_as(x)


class NormInFp32Result(Right):
    def rms_norm(self, x: Tensor, *, eps: float) -> Tensor:
        return super().rms_norm(x.float(), eps=eps).double()


class EpsOfItsOwn(Right):
    def rms_norm(self, x: Tensor, *, eps: float) -> Tensor:
        return super().rms_norm(x, eps=1e-6)


class NoEps(Right):
    def rms_norm(self, x: Tensor, *, eps: float) -> Tensor:
        return super().rms_norm(x, eps=0.0)


class EpsOutsideTheRoot(Right):
    def rms_norm(self, x: Tensor, *, eps: float) -> Tensor:
        wide = x.float()
        return (wide / (wide.square().mean(-1, keepdim=True).sqrt() + eps)).to(x.dtype)


class NormInItsOwnDtype(Right):
    def rms_norm(self, x: Tensor, *, eps: float) -> Tensor:
        total = x[..., 0] * 0
        for column in x.square().unbind(-1):
            total = total + column
        return x * (total / x.shape[-1] + eps).rsqrt()[..., None]


class NormDetached(Right):
    def rms_norm(self, x: Tensor, *, eps: float) -> Tensor:
        wide = x.float()
        return (wide * (wide.square().mean(-1, keepdim=True) + eps).rsqrt().detach()).to(x.dtype)


class TurnsTheOtherWay(Right):
    def rotary(self, x_BTHD: Tensor, cos_BTE: Tensor, sin_BTE: Tensor) -> Tensor:
        return super().rotary(x_BTHD, cos_BTE, -sin_BTE)


class RotatesNeighbours(Right):
    """Pairs are (0, 1), (2, 3), ... instead of the two halves."""

    def halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x[..., 0::2], x[..., 1::2]

    def joined(self, first: Tensor, second: Tensor) -> Tensor:
        return torch.stack([first, second], -1).flatten(-2)


class RotatesToFp32(Right):
    def rotary(self, x_BTHD: Tensor, cos_BTE: Tensor, sin_BTE: Tensor) -> Tensor:
        return super().rotary(x_BTHD.float(), cos_BTE, sin_BTE).double()


class AnglesOfRowZero(Right):
    def rotary(self, x_BTHD: Tensor, cos_BTE: Tensor, sin_BTE: Tensor) -> Tensor:
        return super().rotary(x_BTHD, cos_BTE[:1], sin_BTE[:1])


class RotationGradientNotTurnedBack(Right):
    def rotary(self, x_BTHD: Tensor, cos_BTE: Tensor, sin_BTE: Tensor) -> Tensor:
        forward = super().rotary(x_BTHD, cos_BTE, sin_BTE)
        backward = super().rotary(x_BTHD, cos_BTE, -sin_BTE)
        return backward + (forward - backward).detach()


RMS_NORM = (
    Wrong("sum instead of mean of squares", SumOfSquares),
    Wrong("over all axes", NormOverAllAxes),
    Wrong("another dtype", NormInFp32Result),
)
RMS_NORM_EPS = (
    Wrong("an eps of its own", EpsOfItsOwn),
    Wrong("no eps", NoEps),
    Wrong("eps outside the root", EpsOutsideTheRoot),
)
RMS_NORM_IN_FP32 = (Wrong("accumulates in the input's dtype", NormInItsOwnDtype),)
RMS_NORM_GRADIENTS = (Wrong("norm taken as constant", NormDetached),)
ROTARY = (
    Wrong("turns the other way", TurnsTheOtherWay),
    Wrong("rotates neighbours instead of halves", RotatesNeighbours),
    Wrong("another dtype", RotatesToFp32),
)
ROTARY_ROWS = (Wrong("angles of row 0 for all rows", AnglesOfRowZero),)
ROTARY_GRADIENTS = (Wrong("gradient not turned back", RotationGradientNotTurnedBack),)
OP_REFUSALS = (Wrong("answers whatever is asked", TakesAnything),)
