"""The shapes that are measured, and the line in which they are given. Light: imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Union

import attrs
from attrs import field, frozen

from nanoplug.errors import ConfigError, nearest
from nanoplug.registry.request import Request

LOSS = "linear_cross_entropy"


@frozen(kw_only=True)
class AttentionShape:
    """One causal training call: B rows of T tokens, H query heads on G key/value heads of size D.

    window: as in `Mask`. segments: documents in a row, 0 for no document mask.
    """

    B: int = 1
    T: int = 2048
    H: int = 16
    G: int = 0
    D: int = 128
    window: int = -1
    segments: int = 0

    def request(self, device: str, dtype: str, *, backward: bool | None = None) -> Request:
        return Request(
            device=device,
            dtype=dtype,
            head_dim=self.D,
            heads=self.H,
            kv_heads=self.groups,
            window=self.window,
            tokens=self.T,
            segments=bool(self.segments) or None,
            backward=backward,
        )

    @property
    def groups(self) -> int:
        return self.G or self.H

    def __str__(self) -> str:
        further = [f"window={self.window}"] if self.window >= 0 else []
        further += [f"segments={self.segments}"] if self.segments else []
        return ",".join([f"B={self.B},T={self.T},H={self.H},G={self.groups},D={self.D}", *further])


@frozen(kw_only=True)
class LossShape:
    """One `linear_cross_entropy` over hidden (N, D) and weight (V, D). softcap: 0 for none."""

    N: int = 32768
    D: int = 1280
    V: int = 65536
    softcap: float = field(default=0.0, converter=float)

    def request(self, device: str, dtype: str, *, backward: bool | None = None) -> Request:
        return Request(
            device=device,
            dtype=dtype,
            rows=self.N,
            width=self.D,
            vocabulary=self.V,
            softcap=self.softcap > 0 or None,
            reduction="mean",
            ops=LOSS,
            backward=backward,
        )

    def __str__(self) -> str:
        return f"N={self.N},D={self.D},V={self.V}" + (f",softcap={self.softcap:g}" if self.softcap else "")


Shape = Union[AttentionShape, LossShape]  # noqa: UP007  evaluated at run time, also by Python 3.10's attrs
SHAPE_OF_KIND: Mapping[str, type[Shape]] = {"attention": AttentionShape, "kernel": LossShape}

DEFAULTS: Mapping[tuple[str, bool], tuple[str, ...]] = {
    ("attention", True): (
        "B=16,T=2048,H=16,D=128",
        "B=16,T=2048,H=16,G=4,D=128",
        "B=16,T=2048,H=16,D=128,window=1024",
        "B=4,T=8192,H=16,D=128",
        "B=4,T=8192,H=16,D=128,window=1024",
        "B=1,T=32768,H=16,D=128",
    ),
    ("attention", False): (
        "B=2,T=256,H=4,D=64",
        "B=2,T=256,H=4,G=2,D=64",
        "B=1,T=1024,H=4,D=64",
        "B=1,T=1024,H=4,D=64,window=128",
    ),
    ("kernel", True): (
        "N=32768,D=1280,V=65536,softcap=15",
        "N=32768,D=2048,V=65536,softcap=15",
        "N=16384,D=768,V=32768,softcap=15",
    ),
    ("kernel", False): ("N=512,D=128,V=4096,softcap=15", "N=2048,D=256,V=4096,softcap=15"),
}
"""By kind, and by whether the device is a GPU."""


def default_shapes(kind: str, device: str) -> list[Shape]:
    return [parse_shape(kind, text) for text in DEFAULTS[kind, device == "cuda"]]


def parse_shape(kind: str, text: str) -> Shape:
    """From `B=16,T=2048,H=16,G=4,D=128,window=1024` or `N=32768,D=1280,V=65536,softcap=15`; what is not said has the
    default of its class. Raises ConfigError for an unknown size, a value that is no number, or sizes that do not fit.
    """
    cls = SHAPE_OF_KIND[kind]
    known = {attribute.name: attribute for attribute in attrs.fields(cls)}
    values: dict[str, Any] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, number = (side.strip() for side in part.partition("="))
        if name not in known or name in values:
            raise ConfigError(
                f"shape {text!r}: {name!r} is {'given twice' if name in values else 'unknown'}"
                f"{'' if name in known else nearest(name, known)}.",
                todo=f"Write {','.join(f'{key}={one.default:g}' for key, one in known.items())}, or some of it.",
            )
        try:
            values[name] = float(number) if name == "softcap" else int(number)
        except ValueError:
            raise ConfigError(f"shape {text!r}: {name} is {number!r}; it must be a number.") from None
    if not values:
        raise ConfigError("a shape is empty.", todo="Write such as T=2048,H=16,D=128.")
    shape = cls(**values)
    _check(shape, text)
    return shape


def _check(shape: Shape, text: str) -> None:
    lowest = {"window": -1, "segments": 0, "softcap": 0.0, "G": 0}
    for name, value in attrs.asdict(shape).items():
        if not lowest.get(name, 1) <= value < 1e12:
            raise ConfigError(f"shape {text!r}: {name} is {value:g}; it must be at least {lowest.get(name, 1):g}.")
    if isinstance(shape, AttentionShape) and shape.H % shape.groups:
        raise ConfigError(f"shape {text!r}: {shape.H} query heads do not divide into {shape.groups} key/value heads.")
