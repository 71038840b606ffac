"""The points of the attention grids: which calls are made, on which inputs, with which error allowed."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from attrs import evolve, frozen
from torch import Tensor

from nanoplug.conformance.law import Case, Subject
from nanoplug.conformance.measure import DTYPE, nearer_than_twice, normal, worst
from nanoplug.contracts import LayerCache, Mask
from nanoplug.spec import DTYPES, AttentionSpec

LIMIT_FP32, GRADIENT_LIMIT_FP32 = 2e-5, 1e-4
CEILING_ROUNDED = 2e-2
FLOOR_ROUNDED = {"bf16": 2.0**-8, "fp16": 2.0**-11}


@frozen(kw_only=True)
class Call:
    """One training call. keys: 0 means as many as tokens. segments: number of documents in a row, 0 for no mask."""

    dtype: str
    head_dim: int
    batch: int = 2
    tokens: int = 17
    keys: int = 0
    heads: int = 2
    groups: int = 2
    window: int = -1
    causal: bool = True
    segments: int = 0
    scale: float = 1.0

    def case(self) -> Case:
        parts = [self.dtype, f"B{self.batch} T{self.tokens}"]
        parts += [f"S{self.keys}"] if self.keys else []
        parts += [f"H{self.heads} G{self.groups} D{self.head_dim}"]
        parts += [f"window {self.window}"] if self.window >= 0 else []
        parts += [] if self.causal else ["all keys"]
        parts += [f"{self.segments} segments"] if self.segments else []
        parts += [f"scores x{self.scale**2:g}"] if self.scale != 1 else []
        return Case(" ".join(parts), {"call": self})

    def inputs(self, device: str) -> tuple[Tensor, Tensor, Tensor]:
        """q (B, T, H, D) and k, v (B, S, G, D); `scale` multiplies q and k."""
        keys = self.keys or self.tokens
        q = normal(1, self.batch, self.tokens, self.heads, self.head_dim, scale=self.scale)
        k = normal(2, self.batch, keys, self.groups, self.head_dim, scale=self.scale)
        v = normal(3, self.batch, keys, self.groups, self.head_dim)
        q, k, v = (x.to(device=device, dtype=DTYPE[self.dtype]) for x in (q, k, v))
        return q, k, v

    def mask(self, device: str) -> Mask:
        if not self.segments:
            return Mask(causal=self.causal, window=self.window)
        bounds = torch.randint(
            1, max(2, self.tokens), (self.batch, self.segments - 1), generator=torch.Generator().manual_seed(4)
        )
        segments_BT = (torch.arange(self.tokens)[None, :, None] >= bounds[:, None, :]).sum(-1)
        return Mask(causal=self.causal, window=self.window, segments_BT=segments_BT.to(device))


def spec_of(subject: Subject) -> AttentionSpec:
    if not isinstance(subject.spec, AttentionSpec):
        raise TypeError(f"{subject.name} is declared as {type(subject.spec).__name__}, not AttentionSpec")
    return subject.spec


def dtypes_of(spec: AttentionSpec) -> list[str]:
    """The declared dtypes that the laws know, the exact one first."""
    return [name for name in DTYPES if name in spec.dtypes]


def head_dims_of(spec: AttentionSpec) -> list[int]:
    """Two head sizes that the backend declares, the usual one first."""
    usual = (32, 64, 128, 16, 96, 80, 256, 8)
    return [size for size in usual if spec.head_dims is None or size in spec.head_dims][:2]


def largest_head_dim_of(spec: AttentionSpec) -> int:
    """The largest declared head size up to 256."""
    return max((size for size in range(1, 257) if spec.head_dims is None or size in spec.head_dims), default=64)


def rare_head_dims_of(spec: AttentionSpec) -> list[int]:
    """Declared head sizes that are no multiple of 32, where fused kernels go wrong: a few, the smallest among them."""
    declared = [size for size in range(8, 257, 8) if spec.head_dims is None or size in spec.head_dims]
    return [size for size in dict.fromkeys([*declared[:1], 40, 48, 80, 112]) if size in declared and size % 32]


def base_call(subject: Subject) -> Call:
    """A small plain causal call that the backend declares."""
    spec = spec_of(subject)
    return Call(dtype=dtypes_of(spec)[0], head_dim=head_dims_of(spec)[0])


def in_every_dtype(subject: Subject, calls: Iterable[Call]) -> list[Case]:
    """The cases of `calls` in each declared dtype; calls longer than the backend's `max_tokens` are left out."""
    spec = spec_of(subject)
    return [
        evolve(call, dtype=dtype).case()
        for dtype in dtypes_of(spec)
        for call in calls
        if spec.max_tokens is None or max(call.tokens, call.keys) <= spec.max_tokens
    ]


def output_limit(dtype: str, plain: Tensor, exact: Tensor) -> float:
    """Largest allowed error of an output: 2e-5 in fp32, else by the plain operation's own error, 2e-2 at most."""
    if dtype == "fp32":
        return LIMIT_FP32
    return nearer_than_twice(worst(plain, exact), floor=FLOOR_ROUNDED[dtype], ceiling=CEILING_ROUNDED)


def large_score_limit(dtype: str, plain: Tensor, exact: Tensor) -> float:
    """With scores in the thousands a rounding of the score moves the weights; the plain operation sets the scale."""
    floor = LIMIT_FP32 if dtype == "fp32" else FLOOR_ROUNDED[dtype]
    return 4 * worst(plain, exact) + floor


def gradient_limit(dtype: str, plain: Tensor, exact: Tensor) -> float:
    """As `output_limit`, in units of the gradient's own size where that is above 1."""
    size = max(1.0, float(exact.abs().max()))
    if dtype == "fp32":
        return GRADIENT_LIMIT_FP32 * size
    floor = FLOOR_ROUNDED[dtype] * size
    return nearer_than_twice(worst(plain, exact), floor=floor, ceiling=CEILING_ROUNDED * size)


@frozen(kw_only=True)
class CachedCall:
    """One cached call: rows hold `lengths` tokens in a cache of `capacity`, and `tokens` new ones come."""

    dtype: str
    head_dim: int
    lengths: tuple[int, ...]
    tokens: int = 1
    capacity: int = 40
    heads: int = 2
    groups: int = 2
    window: int = -1

    def case(self) -> Case:
        held = ",".join(map(str, self.lengths))
        name = f"{self.dtype} held {held} new {self.tokens} H{self.heads} G{self.groups} D{self.head_dim}"
        return Case(name + (f" window {self.window}" if self.window >= 0 else ""), {"call": self})

    def inputs(self, device: str) -> tuple[Tensor, Tensor, Tensor]:
        """q (B, T, H, D) and the new k, v (B, T, G, D)."""
        batch = len(self.lengths)
        q = normal(5, batch, self.tokens, self.heads, self.head_dim)
        k = normal(6, batch, self.tokens, self.groups, self.head_dim)
        v = normal(7, batch, self.tokens, self.groups, self.head_dim)
        q, k, v = (x.to(device=device, dtype=DTYPE[self.dtype]) for x in (q, k, v))
        return q, k, v

    def cache(self, device: str) -> LayerCache:
        """A cache whose places beyond each row's length hold large finite leftovers, which nobody may read."""
        shape = (len(self.lengths), self.capacity, self.groups, self.head_dim)
        k, v = normal(8, *shape), normal(9, *shape)
        for row, length in enumerate(self.lengths):
            k[row, length:] *= 40
            v[row, length:] *= 40
        return LayerCache(
            k_BSGD=k.to(device=device, dtype=DTYPE[self.dtype]),
            v_BSGD=v.to(device=device, dtype=DTYPE[self.dtype]),
            lengths_B=torch.tensor(self.lengths, dtype=torch.int32, device=device),
            longest=max(self.lengths),
            uniform=len(set(self.lengths)) == 1,
        )

    def mask(self) -> Mask:
        return Mask(window=self.window)
