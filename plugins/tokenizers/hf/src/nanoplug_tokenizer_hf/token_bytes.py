"""The bytes that each token stands for, read from the decoder that a tokenizer.json describes.

They are known where every token stands for the same bytes wherever it is: byte-level alphabets, and spaces written
as another character with `<0x0A>` for single bytes. Other decoders put spaces between tokens by rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
Step = Callable[["str | bytes"], "str | bytes"]


def byte_alphabet() -> dict[str, int]:
    """The character that stands for each byte in byte-level vocabularies (GPT-2): printable Latin-1 characters for
    themselves, the 68 other bytes as the characters from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


def parts(component: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """The components of a normaliser, pre-tokeniser or decoder; those of a sequence one by one."""
    if component is None:
        return
    if component["type"] == "Sequence":
        nested = next(value for key, value in component.items() if key != "type")
        for part in nested:
            yield from parts(part)
    else:
        yield component


def is_byte_level(content: Mapping[str, Any]) -> bool:
    places = ("pre_tokenizer", "decoder", "normalizer")
    return any(part["type"] == "ByteLevel" for place in places for part in parts(content.get(place)))


def bytes_of_tokens(content: Mapping[str, Any], tokens: Sequence[str | None]) -> tuple[bytes, ...] | str:
    """Bytes of each id, none for an id without a token; or, in words, why they are not known.

    tokens: by id; those that are matched in text as they are, and special ones, are no part of this.
    """
    if is_byte_level(content):
        alphabet = byte_alphabet()
        return tuple(_byte_level(alphabet, token or "") for token in tokens)
    steps: list[Step] = []
    for part in parts(content.get("decoder")):
        step = _step(part)
        if step is None:
            return f"its decoder {part['type']} goes by the tokens around"
        steps.append(step)
    if not steps:
        return "it has no decoder"
    return tuple(b"" if token is None else _through(steps, token) for token in tokens)


def _byte_level(alphabet: Mapping[str, int], token: str) -> bytes:
    """A token outside the alphabet stands for itself, as in the library's decoder."""
    if all(char in alphabet for char in token):
        return bytes(alphabet[char] for char in token)
    return token.encode("utf-8")


def _through(steps: Sequence[Step], token: str) -> bytes:
    value: str | bytes = token
    for step in steps:
        value = step(value)
    return value if isinstance(value, bytes) else value.encode("utf-8")


def _step(part: Mapping[str, Any]) -> Step | None:
    kind = part["type"]
    if kind in ("Fuse", "Strip"):  # Strip cuts the space that was put in front of the whole text; no token's own
        return lambda value: value
    if kind == "ByteFallback":
        return _single_byte
    if kind == "Metaspace":
        return _replaces(part["replacement"], " ")
    pattern = part["pattern"] if kind == "Replace" else None
    if isinstance(pattern, Mapping) and "String" in pattern:
        return _replaces(pattern["String"], part["content"])
    return None


def _single_byte(value: str | bytes) -> str | bytes:
    found = _BYTE_TOKEN.fullmatch(value) if isinstance(value, str) else None
    return bytes([int(found[1], 16)]) if found else value


def _replaces(old: str, new: str) -> Step:
    return lambda value: value.replace(old, new) if isinstance(value, str) else value
