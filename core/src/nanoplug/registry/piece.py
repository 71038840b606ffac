"""A resolved piece: what serves one site of a run, where it came from and why it was chosen."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

import attrs
from attrs import field, frozen

from nanoplug.spec import Spec

_OF_EVERY_SPEC = frozenset(attribute.name for attribute in attrs.fields(Spec))


@frozen(kw_only=True)
class Piece:
    """site: such as `attention.train`. files_sha256: of the package that its load target is in.

    capabilities: what the spec declares. why: one line. rejected: (id, reasons) of what `auto` passed over.
    tuning: SHA-256 of the measured times that it was chosen by, empty if it was not.
    backend: the loaded object. providers: for a kernel, the id that each function comes from; completed_by: the
    piece that those come from which the backend itself lacks.
    """

    site: str
    kind: str
    name: str
    id: str
    distribution: str
    version: str
    files_sha256: str
    options: Mapping[str, Any]
    capabilities: Mapping[str, Any]
    why: str
    rejected: tuple[tuple[str, tuple[str, ...]], ...] = ()
    tuning: str = ""
    providers: Mapping[str, str] = field(factory=dict)
    completed_by: Piece | None = None
    backend: Any = field(eq=False, repr=False)

    def line(self) -> str:
        """One line for the terminal: site, name, why, and what was taken from elsewhere or passed over.

        Of what was passed over the first reason is shown; the receipt has all.
        """
        parts = [self.why]
        if self.completed_by is not None:
            ops = ", ".join(op for op, provider in self.providers.items() if provider == self.completed_by.id)
            parts.append(f"{ops} from {self.completed_by.name}")
        parts += [f"not {who.partition(':')[2]}: {_first(reasons)}" for who, reasons in self.rejected]
        return f"{self.site:<16} {self.name:<10} {' | '.join(parts)}"


def _first(reasons: tuple[str, ...]) -> str:
    """The first reason without its remedy, and how many more there are."""
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return reasons[0].partition(" (")[0] + more


def capabilities(spec: Spec) -> dict[str, Any]:
    """What `spec` declares beyond what every spec has, as plain values."""
    return {
        attribute.name: _plain(getattr(spec, attribute.name))
        for attribute in attrs.fields(type(spec))
        if attribute.name not in _OF_EVERY_SPEC
    }


def _plain(value: object) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, range):
        return f"{value.start}..{value.stop - 1}" + (f" step {value.step}" if value.step != 1 else "")
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in sorted(value.items())}
    if isinstance(value, Iterable):
        return sorted(value)
    assert isinstance(value, Container)
    return type(value).__name__
