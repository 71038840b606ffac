"""A trained byte-level BPE tokenizer, and its file.

Ids: the merges by rank from 0 (each single byte is among them), then the special tokens in the order of
`SPECIAL`. tiktoken is told of no special token, so no text can yield one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import tiktoken

from nanoplug import whole_files
from nanoplug.contracts import check_batch, check_text
from nanoplug.errors import ContractError, DataError

FILE_NAME = "bpe.json"
FORMAT = "nanoplug-bpe-1"
SPECIAL = (
    "<|bos|>",
    "<|user_start|>",
    "<|user_end|>",
    "<|assistant_start|>",
    "<|assistant_end|>",
    "<|python_start|>",
    "<|python_end|>",
    "<|output_start|>",
    "<|output_end|>",
)
# `surrogateescape` turns a byte that is not UTF-8 into one of these; no valid text holds them.
_STRAY_BYTES = re.compile("[\udc80-\udcff]+")


class BpeTokenizer:
    """Serves `nanoplug.contracts.Tokenizer`.

    tokens: the bytes of each merge, by rank; all 256 single bytes among them. pattern: regular expression that
    splits text. stretch_chars: longest text that is split at once.
    """

    def __init__(self, tokens: Sequence[bytes], *, pattern: str, stretch_chars: int) -> None:
        self._content: dict[str, Any] = {
            "format": FORMAT,
            "pattern": pattern,
            "stretch_chars": stretch_chars,
            "special": list(SPECIAL),
            "tokens": [base64.b64encode(token).decode("ascii") for token in tokens],
        }
        self.fingerprint = _digest(self._content)
        self.vocab_size = len(tokens) + len(SPECIAL)
        self.special: Mapping[str, int] = {name: len(tokens) + i for i, name in enumerate(SPECIAL)}
        self._bytes = (*tokens, *itertools.repeat(b"", len(SPECIAL)))
        self.bytes_per_token: Sequence[int] = tuple(map(len, self._bytes))
        self._stretch_chars = stretch_chars
        ranks = {token: rank for rank, token in enumerate(tokens)}
        self._single_byte = [ranks[bytes([byte])] for byte in range(256)]
        self._encoding = tiktoken.Encoding(
            f"nanoplug-bpe-{self.fingerprint[:12]}", pat_str=pattern, mergeable_ranks=ranks, special_tokens={}
        )

    def encode(self, text: str | bytes) -> list[int]:
        """Ids of `text`, never special ones. Bytes that are not UTF-8 become one id each.

        Raises ContractError on another type, and on a string with lone surrogates, which has no bytes.
        """
        check_text("bpe", text)
        if isinstance(text, bytes):
            try:
                return self._encode_text(text.decode("utf-8"))
            except UnicodeDecodeError:
                return self._encode_damaged(text)
        return self._encode_text(text)

    def encode_batch(self, texts: Sequence[str | bytes], *, threads: int = 4) -> list[list[int]]:
        """`encode` of each text, in order, on `threads` threads; tiktoken works outside the interpreter's lock."""
        check_batch("bpe", texts, threads)
        if threads == 1 or len(texts) < 2:
            return [self.encode(text) for text in texts]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(self.encode, texts))

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the ids, special ones left out, with U+FFFD for bytes that are not UTF-8."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """Bytes of the ids, none for special ones. Raises ContractError on an id that is not in the vocabulary."""
        return b"".join(map(self._bytes_of, ids))

    def save(self, folder: Path) -> None:
        """Write `bpe.json` into `folder`, which is made if needed."""
        folder.mkdir(parents=True, exist_ok=True)
        content = {**self._content, "fingerprint": self.fingerprint}
        whole_files.write_text(folder / FILE_NAME, json.dumps(content, indent=0, ensure_ascii=True) + "\n")

    def _encode_text(self, text: str) -> list[int]:
        if len(text) <= self._stretch_chars:
            return self._encoding.encode_ordinary(text)
        return [
            id for stretch in stretches(text, self._stretch_chars) for id in self._encoding.encode_ordinary(stretch)
        ]

    def _encode_damaged(self, data: bytes) -> list[int]:
        text = data.decode("utf-8", errors="surrogateescape")
        ids: list[int] = []
        end = 0
        for stray in _STRAY_BYTES.finditer(text):
            ids += self._encode_text(text[end : stray.start()])
            ids += [self._single_byte[ord(char) - 0xDC00] for char in stray.group()]
            end = stray.end()
        return ids + self._encode_text(text[end:])

    def _bytes_of(self, id: int) -> bytes:
        try:
            if id >= 0:
                return self._bytes[id]
        except (TypeError, IndexError):
            pass
        raise ContractError(f"bpe: id {id!r} is not an integer from 0 to {self.vocab_size - 1}.")


def stretches(text: str, length: int) -> Iterator[str]:
    """`text` in parts of `length` characters, the last one shorter."""
    return (text[start : start + length] for start in range(0, len(text), length))


def read_tokenizer(folder: Path) -> BpeTokenizer:
    """The tokenizer that `save` wrote into `folder`. Raises DataError if the file is missing or damaged."""
    path = folder / FILE_NAME
    todo = "Train the tokenizer again, or name another folder."
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise DataError(f"{folder} holds no {FILE_NAME}, so there is no bpe tokenizer.", todo=todo) from None
    except (UnicodeDecodeError, ValueError) as error:
        raise DataError(f"{path} is damaged: {error}.", todo=todo) from error
    found = content.get("format") if isinstance(content, dict) else type(content).__name__
    if found != FORMAT:
        raise DataError(f"{path} has format {found!r}; this version reads {FORMAT!r}.", todo=todo)
    written = content.pop("fingerprint", None)
    if written != _digest(content):
        raise DataError(f"{path} is damaged: its content does not have the fingerprint that it states.", todo=todo)
    if content["special"] != list(SPECIAL):
        raise DataError(f"{path} has other special tokens than {', '.join(SPECIAL)}.", todo=todo)
    try:
        tokens = [base64.b64decode(token, validate=True) for token in content["tokens"]]
    except binascii.Error as error:
        raise DataError(f"{path} is damaged: a token is not base64: {error}.", todo=todo) from error
    return BpeTokenizer(tokens, pattern=content["pattern"], stretch_chars=content["stretch_chars"])


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=True).encode("ascii")).hexdigest()
