"""Holds the chosen backends against the exact operations on the first batches of a run, and stops it on drift.

Before a watched micro-batch trains, a few of its rows go once more through the model with the weights of that moment,
uncompiled and without keeping anything: there each sampled layer's attention, and the loss, is compared, forward and
backward. Training itself runs as it would without, compiled or not, and gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from attrs import frozen
from torch import Tensor

from nanoplug.conformance.attention_calls import FLOOR_ROUNDED, GRADIENT_LIMIT_FP32, LIMIT_FP32
from nanoplug.conformance.measure import full_precision, normal
from nanoplug.conformance.on_device import attention_exactly, loss_exactly
from nanoplug.contracts import Attention, Kernel, LayerCache, Mask, Reduction, dtype_name
from nanoplug.errors import ContractError, NanoplugError
from nanoplug.model.gpt import GPT

ROWS = 2
# What rounding the inputs of products to TF32 (11 bits) may cost, in units of the largest element.
_LIMIT_TF32 = 2.0**-9
# In bf16 and fp16, against the plain operation's own error: of the tensor's norm, in which drift shows and roundings
# average out, and of the one element that is furthest off, where some roundings more add up in good kernels too.
_NORM_FACTOR, _NORM_FLOOR, _NORM_CEILING = 4, 2.0**-10, 2e-2
_ELEMENT_FACTOR = 8

LossOf = Callable[..., Tensor]


@frozen(kw_only=True)
class Finding:
    """A comparison: who computed what, how far it was off, and how far it may be, in the unit that `of` names."""

    who: str
    what: str
    error: float
    limit: float
    of: str = ""

    @property
    def share(self) -> float:
        return self.error / self.limit if self.limit else 0.0

    def __str__(self) -> str:
        return f"{self.what} off by {self.error:.2g}{self.of}, limit {self.limit:.2g}"


class Canary:
    """Watches `steps` steps of `accumulate` micro-batches.

    attention, kernel: of the model, each with its name. tell: hears a line when the last batch is through.
    """

    def __init__(
        self,
        model: GPT,
        *,
        attention: tuple[str, Attention],
        kernel: tuple[str, Kernel],
        steps: int,
        accumulate: int,
        tell: Callable[[str], None],
    ) -> None:
        self.findings: list[Finding] = []
        self.layers = sampled_layers(model.windows)
        self._attention = WatchedAttention(*attention, self.layers, self._found)
        self._kernel = WatchedKernel(*kernel, self._found)
        self._model = model
        self._twin: GPT | None = None
        self._steps, self._accumulate = steps, accumulate
        self._looks_left = steps * accumulate
        self._tell = tell

    def around(self, loss_of: LossOf) -> LossOf:
        """`loss_of` that looks before it trains. Raises NanoplugError on drift."""

        def watched(inputs_BT: Tensor, targets_BT: Tensor, segments_BT: Tensor | None = None) -> Tensor:
            if self._looks_left:
                self._looks_left -= 1
                self.look(inputs_BT, targets_BT, segments_BT)
                if not self._looks_left:
                    self._twin = None
                    self._tell(self.report())
            return loss_of(inputs_BT, targets_BT, segments_BT)

        return watched

    @torch.no_grad()
    def look(self, inputs_BT: Tensor, targets_BT: Tensor, segments_BT: Tensor | None) -> None:
        """Compare on the first rows of a batch."""
        if self._twin is None:
            self._twin = _twin(self._model, self._attention, self._kernel)
        self._attention.layer = 0
        segments = None if segments_BT is None else segments_BT[:ROWS]
        self._twin(inputs_BT[:ROWS], targets_BT[:ROWS], segments)

    def report(self) -> str:
        """What came closest to its limit, for each backend."""
        layers = ", ".join(map(str, sorted(self.layers)))
        worst = {one.who: one for one in sorted(self.findings, key=lambda one: one.share)}
        found = "; ".join(f"{who}: {one}" for who, one in sorted(worst.items()))
        return f"{self._steps} steps, layers {layers}, no drift. {found}"

    def _found(self, finding: Finding) -> None:
        self.findings.append(finding)
        if not finding.error <= finding.limit:
            look = self._steps * self._accumulate - self._looks_left - 1
            kind, _, name = finding.who.partition(" ")
            raise NanoplugError(
                f"canary: {finding.who} drifts in watched step {look // self._accumulate}: {finding}.",
                details=["It was held against the exact operation on this run's own batch."],
                todo=f"Choose another {kind}; `nanoplug verify {kind} {name}` shows whether it breaks a law as well.",
            )


def sampled_layers(windows: Sequence[int]) -> frozenset[int]:
    """The first and the last layer, and the first of each window."""
    return frozenset({0, len(windows) - 1, *(windows.index(window) for window in set(windows))})


def _twin(model: GPT, attention: Attention, kernel: Kernel) -> GPT:
    """The same model with the same parameters, other backends, and nothing recomputed."""
    with torch.device("meta"):
        twin = GPT(model.config, attention=attention, kernel=kernel, compute_dtype=model.compute_dtype)
    twin.load_state_dict(model.state_dict(keep_vars=True), assign=True)
    twin.rotary.to_empty(device=model.rotary.cos_PE.device)
    return twin.train(model.training)


class WatchedAttention:
    """An attention whose answer is compared in the layers `sampled`. layer: the one that is called next."""

    def __init__(
        self, name: str, attention: Attention, sampled: frozenset[int], found: Callable[[Finding], None]
    ) -> None:
        self.attention, self.name, self.sampled, self.found = attention, name, sampled, found
        self.layer = 0

    def attend(self, q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, *, mask: Mask) -> Tensor:
        layer, self.layer = self.layer, self.layer + 1
        if layer not in self.sampled:
            return self.attention.attend(q_BTHD, k_BSGD, v_BSGD, mask=mask)
        upstream = normal(layer, *q_BTHD.shape).to(q_BTHD)
        with torch.enable_grad():
            q, k, v = leaves = [x.detach().requires_grad_() for x in (q_BTHD, k_BSGD, v_BSGD)]
            output = self.attention.attend(q, k, v, mask=mask)
            got = [output.detach(), *torch.autograd.grad(output, leaves, upstream)]
        with full_precision():
            exact = attention_exactly(q, k, v, mask, upstream, dtype=_wider(q_BTHD))
            plain = exact
            if q_BTHD.dtype != torch.float32:
                rounded = q_BTHD.dtype
                plain = attention_exactly(q, k, v, mask, upstream, dtype=torch.float32, rounded=rounded)
        for name, g, p, e in zip(("output", "dq", "dk", "dv"), got, plain, exact, strict=True):
            fp32_limit = LIMIT_FP32 if name == "output" else GRADIENT_LIMIT_FP32
            size = max(1.0, float(e.abs().max()))
            for finding in _compared(f"attention {self.name}", f"layer {layer} {name}", g, p, e, size, fp32_limit):
                self.found(finding)
        return got[0]

    def attend_cached(self, q_BTHD: Tensor, k_BTGD: Tensor, v_BTGD: Tensor, cache: LayerCache, *, mask: Mask) -> Tensor:
        return self.attention.attend_cached(q_BTHD, k_BTGD, v_BTGD, cache, mask=mask)


class WatchedKernel:
    """A kernel whose `linear_cross_entropy` is compared; its other functions are called as they are."""

    def __init__(self, name: str, kernel: Kernel, found: Callable[[Finding], None]) -> None:
        self.kernel, self.name, self.found = kernel, name, found
        self.cross_entropy = kernel.cross_entropy
        self.rms_norm = kernel.rms_norm
        self.rotary = kernel.rotary

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
        if reduction != "mean":
            raise ContractError(f"canary: watches the mean loss, got reduction {reduction!r}.")
        with torch.enable_grad():
            hidden, weight = (x.detach().requires_grad_() for x in (hidden_ND, weight_VD))
            loss = self.kernel.linear_cross_entropy(
                hidden, weight, targets_N, softcap=softcap, ignore_index=ignore_index, reduction=reduction
            )
            got = [loss.detach(), *torch.autograd.grad(loss, (hidden, weight))]
        rounded = None if hidden_ND.dtype == torch.float32 else hidden_ND.dtype
        of = partial(loss_exactly, hidden, weight, targets_N, softcap=softcap, ignore_index=ignore_index)
        with full_precision():
            exact = of(dtype=_wider(hidden_ND))
            plain = exact
            if rounded is not None:
                plain = of(dtype=torch.float32, rounded=rounded)
        for name, g, p, e in zip(("loss", "dhidden", "dweight"), got, plain, exact, strict=True):
            fp32_limit = LIMIT_FP32 if name == "loss" else GRADIENT_LIMIT_FP32
            size = float(e.abs().max())
            size = max(1.0, size) if name == "loss" else size
            for finding in _compared(f"kernel {self.name}", name, g, p, e, size, fp32_limit, rounded=rounded):
                self.found(finding)
        return got[0]


def _wider(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float32 else torch.float32


def _compared(
    who: str,
    what: str,
    got: Tensor,
    plain: Tensor,
    exact: Tensor,
    size: float,
    fp32_limit: float,
    rounded: torch.dtype | None = None,
) -> list[Finding]:
    """size: the unit of limits for single elements. rounded: dtype of the inputs where `got` is fp32 all the same.

    fp32 products of a GPU may be set to TF32.
    """
    find = partial(Finding, who=who, what=what)
    dtype = rounded or got.dtype
    if dtype == torch.float32:
        in_tf32 = got.is_cuda and torch.get_float32_matmul_precision() != "highest"
        return [find(error=_worst(got, exact), limit=(_LIMIT_TF32 if in_tf32 else fp32_limit) * size)]
    floor = FLOOR_ROUNDED[dtype_name(dtype)] * size
    limit = min(_NORM_FACTOR * _off(plain, exact) + _NORM_FLOOR, _NORM_CEILING)
    return [
        find(error=_worst(got, exact), limit=_ELEMENT_FACTOR * _worst(plain, exact) + floor),
        find(error=_off(got, exact), limit=limit, of=" of its norm"),
    ]


def _worst(got: Tensor, want: Tensor) -> float:
    """Largest absolute difference, on the device; infinite where `got` is NaN or infinite."""
    difference = (got.to(want.dtype) - want).abs()
    return float(torch.nan_to_num(difference, nan=torch.inf, posinf=torch.inf).max())


def _off(got: Tensor, want: Tensor) -> float:
    """||got - want|| / ||want||."""
    size = float(want.norm())
    return float((got.to(want.dtype) - want).norm()) / size if size else 0.0
