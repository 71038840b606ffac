"""What a site asks of a backend, and the one-line language in which `explain --on` is given it."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
from attrs import converters, field, frozen

from nanoplug.errors import ConfigError, nearest
from nanoplug.spec import DTYPES

DEVICE_TYPES = ("cuda", "xla", "mps", "cpu")
_YES, _NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def _names(value: object) -> frozenset[str]:
    return frozenset({value}) if isinstance(value, str) else frozenset(value)  # type: ignore[call-overload]


@frozen(kw_only=True)
class Request:
    """None means that the site does not care.

    device: type of device. dtype: of activations. window: -1 or None asks for none. tokens: longest T.
    rows, width, vocabulary: N, D and V of the loss. softcap: logits are capped. reduction: of the loss.
    ops: kernel functions that the backend itself must have. imports: name of a file that somebody else made.
    """

    device: str | None = None
    dtype: str | None = None
    head_dim: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    window: int | None = None
    segments: bool | None = None
    cache: bool | None = None
    backward: bool | None = None
    noncausal: bool | None = None
    tokens: int | None = None
    rows: int | None = None
    width: int | None = None
    vocabulary: int | None = None
    softcap: bool | None = field(default=None, converter=converters.optional(bool))
    reduction: str | None = None
    ops: frozenset[str] | None = field(default=None, converter=converters.optional(_names))
    deterministic: bool | None = None
    lossless: bool | None = None
    trainable: bool | None = None
    chat: bool | None = None
    fim: bool | None = None
    imports: str | None = None

    @classmethod
    def described(cls, text: str) -> Request:
        """The part of `"sm_89,torch=2.11,dtype=bf16,window=1024"` that is about the request.

        A flag may stand alone (`backward`); `sm_NN` or a device type alone means that device; `ops=a+b`.
        Raises ConfigError for a value of the wrong type.
        """
        values: dict[str, object] = {}
        for key, value in tokens(text):
            if key in FIELDS:
                values[key] = _value(key, value)
            elif value is None and (key in DEVICE_TYPES or key.startswith("sm_")):
                values.setdefault("device", key if key in DEVICE_TYPES else "cuda")
        return cls(**values)  # type: ignore[arg-type]


FIELDS = tuple(attribute.name for attribute in attrs.fields(Request))
_INTEGERS = ("head_dim", "heads", "kv_heads", "window", "tokens", "rows", "width", "vocabulary")


def tokens(text: str) -> Iterator[tuple[str, str | None]]:
    """`(key, value)` of each comma-separated part; the value is None for a part without `=`."""
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        key, equals, value = part.partition("=")
        if equals and not value.strip():
            raise ConfigError(f"{part!r} has no value.", todo="Write KEY=VALUE, such as dtype=bf16.")
        yield key.strip(), value.strip() if equals else None


def _value(key: str, value: str | None) -> object:
    if key in ("device", "dtype", "reduction", "ops", "imports") or key in _INTEGERS:
        if value is None:
            raise ConfigError(f"{key!r} needs a value.", todo=f"Write {key}=VALUE.")
        if key in _INTEGERS:
            return _integer(key, value)
        known = {"device": DEVICE_TYPES, "dtype": DTYPES}.get(key)
        if known and value not in known:
            raise ConfigError(f"{key} {value!r} is unknown{nearest(value, known)}.", todo=f"Use {', '.join(known)}.")
        return frozenset(value.split("+")) if key == "ops" else value
    if value is None or value.lower() in _YES:
        return True
    if value.lower() in _NO:
        return False
    if key == "softcap":
        return _number(key, value) > 0
    raise ConfigError(f"{key}={value!r} must be true or false.")


def _integer(key: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise ConfigError(f"{key}={value!r} must be a whole number.") from None


def _number(key: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ConfigError(f"{key}={value!r} must be a number, true or false.") from None
