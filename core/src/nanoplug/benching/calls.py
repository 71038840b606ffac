"""The call that is measured at a shape: its inputs, how a backend is called with them, and what is exact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from nanoplug.benching.contender import Contender
from nanoplug.benching.shapes import AttentionShape, Shape
from nanoplug.conformance.measure import DTYPE, full_precision
from nanoplug.conformance.on_device import attention_exactly, loss_exactly
from nanoplug.contracts import Mask

IGNORE_EVERY = 16

Answer = Callable[..., Tensor]


@frozen(kw_only=True)
class Call:
    """leaves: the inputs that have gradients. answer_of: a contender's answer, from (leaves, its own function).

    exact: output and gradients of the leaves for `upstream`, in a wider dtype; computed once, when asked for.
    """

    leaves: tuple[Tensor, ...]
    upstream: Tensor
    answer_of: Callable[[Contender, bool], Callable[[], Tensor]]
    exact: Callable[[], list[Tensor]]

    def training(self, answer: Callable[[], Tensor]) -> Callable[[], Sequence[Tensor]]:
        """Forward and backward: the output and the gradients of the leaves."""

        def run() -> Sequence[Tensor]:
            output = answer()
            return (output.detach(), *torch.autograd.grad(output, self.leaves, self.upstream))

        return run

    def forward(self, answer: Callable[[], Tensor]) -> Callable[[], Sequence[Tensor]]:
        @torch.no_grad()
        def run() -> Sequence[Tensor]:
            return (answer(),)

        return run


def call_at(shape: Shape, *, device: str, dtype: str) -> Call:
    """The call at `shape` with inputs on `device`, the same for the same shape."""
    if isinstance(shape, AttentionShape):
        return _attention_call(shape, device, dtype)
    generator = torch.Generator(device).manual_seed(7)

    def normal(*size: int, scale: float) -> Tensor:
        made = torch.randn(*size, device=device, generator=generator) * scale
        return made.to(DTYPE[dtype]).requires_grad_()

    hidden_ND, weight_VD = normal(shape.N, shape.D, scale=1.0), normal(shape.V, shape.D, scale=2 * shape.D**-0.5)
    targets_N = torch.randint(shape.V, (shape.N,), device=device, generator=generator)
    targets_N[::IGNORE_EVERY] = -1
    softcap = shape.softcap or None

    def answer_of(contender: Contender, compiled: bool) -> Callable[[], Tensor]:
        function = _maybe_compiled(contender.backend.linear_cross_entropy, compiled)
        return lambda: function(hidden_ND, weight_VD, targets_N, softcap=softcap, ignore_index=-1, reduction="mean")

    def exact() -> list[Tensor]:
        with full_precision():
            return loss_exactly(hidden_ND, weight_VD, targets_N, softcap=softcap, dtype=_wider(dtype))

    return Call(
        leaves=(hidden_ND, weight_VD),
        upstream=torch.ones((), device=device),
        answer_of=answer_of,
        exact=exact,
    )


def _attention_call(shape: AttentionShape, device: str, dtype: str) -> Call:
    generator = torch.Generator(device).manual_seed(7)

    def normal(heads: int) -> Tensor:
        return torch.randn(shape.B, shape.T, heads, shape.D, device=device, generator=generator).to(DTYPE[dtype])

    q_BTHD, upstream_BTHD = normal(shape.H).requires_grad_(), normal(shape.H)
    k_BTGD, v_BTGD = normal(shape.groups).requires_grad_(), normal(shape.groups).requires_grad_()
    segments_BT = None
    if shape.segments:
        documents_T = torch.arange(shape.T, device=device) * shape.segments // shape.T
        segments_BT = documents_T.expand(shape.B, -1).contiguous()
    mask = Mask(window=shape.window, segments_BT=segments_BT)

    def answer_of(contender: Contender, compiled: bool) -> Callable[[], Tensor]:
        function = _maybe_compiled(contender.backend.attend, compiled)
        return lambda: function(q_BTHD, k_BTGD, v_BTGD, mask=mask)

    def exact() -> list[Tensor]:
        with full_precision():
            return attention_exactly(q_BTHD, k_BTGD, v_BTGD, mask, upstream_BTHD, dtype=_wider(dtype))

    return Call(leaves=(q_BTHD, k_BTGD, v_BTGD), upstream=upstream_BTHD, answer_of=answer_of, exact=exact)


def _wider(dtype: str) -> torch.dtype:
    """fp32 is exact enough to measure bf16 and fp16 by, and many GPUs are slow in fp64."""
    return torch.float64 if dtype == "fp32" else torch.float32


def _maybe_compiled(function: Answer, compiled: bool) -> Answer:
    made: Answer = torch.compile(function, dynamic=False, fullgraph=True) if compiled else function
    return made


def result_bytes(call: Call, results: Sequence[Any]) -> int:
    """Of the output and the gradients, which every backend must hold."""
    return sum(x.numel() * x.element_size() for x in results)
