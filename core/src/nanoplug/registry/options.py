"""Options of a backend: those given, checked against the class that its manifest declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from nanoplug.errors import PluginError, nearest
from nanoplug.spec import Spec


def defaults(spec: Spec) -> dict[str, Any]:
    """Every option of `spec` with its default."""
    return attrs.asdict(spec.options()) if spec.options else {}


def complete(spec: Spec, given: Mapping[str, Any]) -> dict[str, Any]:
    """Every option of `spec`, those `given` in the types that it declares.

    Raises PluginError for an unknown key, with the nearest, and for a value of the wrong type; nothing is
    converted but whole numbers to floats.
    """
    who = f"{spec.kind} {spec.name!r}"
    known = [attribute.name for attribute in attrs.fields(spec.options)] if spec.options else []
    for key in given:
        if key not in known:
            todo = f"Its options: {', '.join(known)}." if known else "It takes no options."
            raise PluginError(f"{who} has no option {key!r}{nearest(key, known)}.", todo=todo)
    if not given:
        return defaults(spec)
    assert spec.options is not None
    try:
        return attrs.asdict(_converter().structure(dict(given), spec.options))
    except Exception as error:  # cattrs groups errors of many types, validators raise their own
        raise PluginError(f"{who} cannot take these options.", details=_lines(error, who)) from error


def _converter() -> Any:
    """cattrs as it is turns `"3"` into 3 and `"false"` into True; here a value must be of its type."""
    from cattrs import Converter

    converter = Converter(forbid_extra_keys=True)
    for kind, accepted in ((bool, (bool,)), (int, (int,)), (float, (float, int)), (str, (str,))):
        converter.register_structure_hook(kind, _strict(kind, accepted))
    return converter


def _strict(kind: type, accepted: tuple[type, ...]) -> Any:
    def structure(value: Any, _: type) -> Any:
        if type(value) not in accepted:
            raise TypeError(f"expected {kind.__name__}, got {value!r}")
        return kind(value)

    return structure


def _lines(error: Exception, who: str) -> list[str]:
    from cattrs import transform_error

    try:
        return [f"{line}" for line in transform_error(error, path="options", format_exception=lambda e, _: str(e))]
    except Exception:  # not an error of cattrs
        return [f"{type(error).__name__}: {error}"]
