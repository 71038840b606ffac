"""A backend that takes part: loaded, with all that its rows must say of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from nanoplug.spec import AttentionSpec, KernelSpec


@frozen(kw_only=True)
class Contender:
    """made_of: versions of its distribution and of what that needs, and its files' hash. backend: the loaded object.

    excused: for shapes, by their text, why it does not serve them; those are not tried.
    """

    id: str
    spec: AttentionSpec | KernelSpec
    distribution: str
    version: str
    made_of: Mapping[str, str]
    backend: Any = field(repr=False)
    excused: Mapping[str, str] = field(factory=dict)

    @property
    def name(self) -> str:
        return self.spec.name
