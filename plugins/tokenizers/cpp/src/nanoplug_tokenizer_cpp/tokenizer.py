"""A trained tokenizer, and its two files.

`tokenizer.json` holds the vocabulary, the merges and the pattern, and gives the same ids in the `tokenizers` library.
`cpp.json` names the special tokens, and holds the fingerprint of both. `tokenizer.json` does not declare the special
tokens: a library that finds them declared finds them in text too.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from nanoplug import whole_files
from nanoplug.contracts import check_batch, check_text
from nanoplug.errors import ContractError, DataError
from nanoplug_tokenizer_cpp.engines import ENGINES, chosen_engine
from nanoplug_tokenizer_cpp.layout import SPECIAL_IDS
from nanoplug_tokenizer_cpp.patterns import STRETCH_CHARS, stretches
from nanoplug_tokenizer_cpp.tokenizer_json import tokens_of

VOCABULARY_FILE = "tokenizer.json"
FILE_NAME = "cpp.json"
FORMAT = "nanoplug-cpp-1"
# `surrogateescape` turns a byte that is not UTF-8 into one of these; no valid text holds them.
_STRAY_BYTES = re.compile("[\udc80-\udcff]+")
_TODO = "Train the tokenizer again, or name another folder."


class CppTokenizer:
    """Serves `nanoplug.contracts.Tokenizer`. engine: the name of the library that encodes.

    vocabulary: the text of `tokenizer.json`. Raises DataError if it holds no vocabulary of this family, ConfigError or
    PluginError if the engine asked for is unknown or not installed.
    """

    def __init__(self, vocabulary: str, *, engine: str) -> None:
        self._vocabulary = vocabulary
        self._bytes = tuple(tokens_of(_parsed(vocabulary)))
        singles = {token: id for id, token in enumerate(self._bytes) if len(token) == 1}
        if len(singles) != 256:
            raise DataError(f"{VOCABULARY_FILE} holds {len(singles)} single bytes of 256.", todo=_TODO)
        self._single_byte = [singles[bytes([byte])] for byte in range(256)]
        self.vocab_size = len(self._bytes)
        self.special: Mapping[str, int] = dict(SPECIAL_IDS)
        self.bytes_per_token: Sequence[int] = tuple(map(len, self._bytes))
        self.fingerprint = _digest(vocabulary)
        self.engine = chosen_engine(engine)
        self._encode_stretch = ENGINES[self.engine](vocabulary).encode
        self._pools: dict[tuple[int, int], ThreadPoolExecutor] = {}

    def encode(self, text: str | bytes) -> list[int]:
        """Ids of `text`, never special ones. Bytes that are not UTF-8 become one id each.

        Raises ContractError on another type, and on a string with lone surrogates, which has no bytes.
        """
        check_text("cpp", text)
        if isinstance(text, bytes):
            try:
                return self._encode_text(text.decode("utf-8"))
            except UnicodeDecodeError:
                return self._encode_damaged(text)
        return self._encode_text(text)

    def encode_batch(self, texts: Sequence[str | bytes], *, threads: int = 4) -> list[list[int]]:
        """`encode` of each text, in order, on `threads` threads; the engines work outside the interpreter's lock."""
        check_batch("cpp", texts, threads)
        if threads == 1 or len(texts) < 2:
            return [self.encode(text) for text in texts]
        return list(self._threads(threads).map(self.encode, texts))

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the ids, special ones left out, with U+FFFD for bytes that are not UTF-8."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """Bytes of the ids, none for special ones. Raises ContractError on an id that is not in the vocabulary."""
        return b"".join(map(self._bytes_of, ids))

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` and `cpp.json` into `folder`, which is made if needed."""
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "format": FORMAT,
            "special": dict(self.special),
            "stretch_chars": STRETCH_CHARS,
            "fingerprint": self.fingerprint,
        }
        (folder / FILE_NAME).unlink(missing_ok=True)
        whole_files.write_text(folder / VOCABULARY_FILE, self._vocabulary)
        whole_files.write_text(folder / FILE_NAME, json.dumps(content, indent=1) + "\n")

    def _threads(self, count: int) -> ThreadPoolExecutor:
        """The same threads at each call, for engines cache what they have seen by thread; a forked process has none."""
        key = os.getpid(), count
        if key not in self._pools:
            self._pools[key] = ThreadPoolExecutor(count)
        return self._pools[key]

    def _encode_text(self, text: str) -> list[int]:
        if len(text) <= STRETCH_CHARS:
            return self._encode_stretch(text)
        return [id for stretch in stretches(text) for id in self._encode_stretch(stretch)]

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
        raise ContractError(f"cpp: id {id!r} is not an integer from 0 to {self.vocab_size - 1}.")


def read_tokenizer(folder: Path, *, engine: str) -> CppTokenizer:
    """The tokenizer that `save` wrote into `folder`. Raises DataError if a file is missing or damaged."""
    stated = _parsed(_read(folder / FILE_NAME))
    found = stated.get("format")
    if found != FORMAT:
        raise DataError(f"{folder / FILE_NAME} has format {found!r}; this version reads {FORMAT!r}.", todo=_TODO)
    vocabulary = _read(folder / VOCABULARY_FILE)
    if stated.get("fingerprint") != _digest(vocabulary):
        raise DataError(f"{folder}: {VOCABULARY_FILE} is damaged, or not the one of {FILE_NAME}.", todo=_TODO)
    if stated.get("special") != dict(SPECIAL_IDS) or stated.get("stretch_chars") != STRETCH_CHARS:
        raise DataError(f"{folder / FILE_NAME} is damaged: its special tokens are not those of cpp.", todo=_TODO)
    return CppTokenizer(vocabulary, engine=engine)


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise DataError(f"{path.parent} holds no {path.name}, so there is no cpp tokenizer.", todo=_TODO) from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is damaged: {error}.", todo=_TODO) from error


def _parsed(text: str) -> Mapping[str, Any]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise DataError(f"a tokenizer file is damaged: {error}.", todo=_TODO) from error
    if not isinstance(content, dict):
        raise DataError(f"a tokenizer file is damaged: it holds a {type(content).__name__}.", todo=_TODO)
    return content


def _digest(vocabulary: str) -> str:
    decides = {"format": FORMAT, "vocabulary": vocabulary, "special": dict(SPECIAL_IDS), "stretch_chars": STRETCH_CHARS}
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode("ascii")).hexdigest()
