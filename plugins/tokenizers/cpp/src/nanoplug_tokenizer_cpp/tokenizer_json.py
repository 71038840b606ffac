"""The file format of Hugging Face's `tokenizers`, written and read.

`ignore_merges` makes a piece of text that is in the vocabulary one token, whether merges give it or not: so a fixed
word matches a whole piece and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from nanoplug.errors import DataError

_PRINTABLE = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))


def _char_of_byte() -> dict[int, str]:
    """Byte-level BPE's alphabet: printable bytes stand for themselves, others for U+0100 and following."""
    others = (byte for byte in range(256) if byte not in _PRINTABLE)
    return {byte: chr(byte) for byte in _PRINTABLE} | {byte: chr(256 + i) for i, byte in enumerate(others)}


_CHAR_OF_BYTE = _char_of_byte()
_BYTE_OF_CHAR = {char: byte for byte, char in _CHAR_OF_BYTE.items()}


def spelled(token: bytes) -> str:
    """`token` as the file spells it."""
    return "".join(map(_CHAR_OF_BYTE.__getitem__, token))


def unspell(text: str) -> bytes:
    """The bytes of a token; none for a name that no bytes have, which is of a special token."""
    try:
        return bytes(map(_BYTE_OF_CHAR.__getitem__, text))
    except KeyError:
        return b""


def written(names: Sequence[str], pairs: Sequence[tuple[bytes, bytes]], pattern: str) -> str:
    """The file's text. names: of each id, as spelled. pairs: the merges in order. pattern: splits text into pieces."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    content: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,
            "vocab": {name: id for id, name in enumerate(names)},
            "merges": [[spelled(left), spelled(right)] for left, right in pairs],
        },
    }
    return json.dumps(content, ensure_ascii=False) + "\n"


def tokens_of(content: Mapping[str, Any]) -> list[bytes]:
    """The bytes of each id in a parsed file. Raises DataError unless ids are 0, 1, 2 and so on."""
    try:
        vocab: dict[str, int] = content["model"]["vocab"]
        names = sorted(vocab, key=vocab.__getitem__)
        if [vocab[name] for name in names] != list(range(len(names))):
            raise DataError("the ids of tokenizer.json do not run from 0 to their number.")
    except (TypeError, KeyError, AttributeError) as error:
        raise DataError(f"tokenizer.json has no vocabulary where one was expected: {error!r}.") from error
    return [unspell(name) for name in names]
