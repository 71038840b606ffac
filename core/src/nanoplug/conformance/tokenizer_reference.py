"""A plain tokenizer that keeps every law: single bytes and the most frequent words, longest match first.

Slow and poor at compression; its use is to be obviously right, as the base of the wrong ones and in tests.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from nanoplug import whole_files
from nanoplug.errors import ContractError, DataError

CHAT_SPECIAL = (
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
FIM_SPECIAL = ("<FIM_PREFIX>", "<FIM_MIDDLE>", "<FIM_SUFFIX>", "<EOS>")
FILE_NAME = "words.json"
_WORD = re.compile(rb"[A-Za-z_]+|\s+|[^\sA-Za-z_]+")


class ReferenceTokenizer:
    """Serves `nanoplug.contracts.Tokenizer`. Ids: bytes 0-255, then `words`, then the special tokens."""

    names: ClassVar[Sequence[str]] = CHAT_SPECIAL

    def __init__(self, words: Sequence[bytes] = ()) -> None:
        self.words = tuple(words)
        self.tokens = (*(bytes([byte]) for byte in range(256)), *self.words)
        self.vocab_size = len(self.tokens) + len(self.names)
        self.special: Mapping[str, int] = {name: len(self.tokens) + i for i, name in enumerate(self.names)}
        self.bytes_per_token: Sequence[int] = (*map(len, self.tokens), *(0 for _ in self.names))
        self.fingerprint = hashlib.sha256(repr(self.words).encode("ascii")).hexdigest()
        self._ids = {token: id for id, token in enumerate(self.tokens)}
        longest_first = sorted(self.words, key=lambda word: (-len(word), word))
        self._next = re.compile(b"|".join([*map(re.escape, longest_first), b"."]), re.DOTALL)

    def encode(self, text: str | bytes) -> list[int]:
        return [self._ids[piece] for piece in self._next.findall(self.as_bytes(text))]

    def encode_batch(self, texts: Sequence[str | bytes], *, threads: int = 4) -> list[list[int]]:
        if isinstance(texts, (str, bytes)):
            raise ContractError(f"encode_batch takes a sequence of texts; got one {type(texts).__name__}.")
        if threads < 1:
            raise ContractError(f"threads is {threads}; it must be at least 1.")
        return [self.encode(text) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        for id in ids:
            if not isinstance(id, int) or not 0 <= id < self.vocab_size:
                raise ContractError(f"id {id!r} is not an integer from 0 to {self.vocab_size - 1}.")
        return b"".join(self.tokens[id] for id in ids if id < len(self.tokens))

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        whole_files.write_text(folder / FILE_NAME, json.dumps([word.hex() for word in self.words]))

    @staticmethod
    def as_bytes(text: str | bytes) -> bytes:
        if isinstance(text, bytes):
            return text
        if not isinstance(text, str):
            raise ContractError(f"text must be str or bytes; got {type(text).__name__}.")
        try:
            return text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ContractError(f"the string has a lone surrogate at position {error.start}.") from None


class FimReferenceTokenizer(ReferenceTokenizer):
    """The same, with the special tokens of fill-in-the-middle behind those of conversations."""

    names = (*CHAT_SPECIAL, *FIM_SPECIAL)


class ReferenceFactory:
    """Serves `nanoplug.contracts.TokenizerFactory`. made: the class of the tokenizers that it makes."""

    def __init__(self, made: type[ReferenceTokenizer] = ReferenceTokenizer) -> None:
        self.made = made

    def train(self, texts: Iterable[str], *, vocab_size: int) -> ReferenceTokenizer:
        room = vocab_size - 256 - len(self.made.names)
        if room < 0:
            raise ContractError(f"vocab_size is {vocab_size}; it must be at least {256 + len(self.made.names)}.")
        if isinstance(texts, (str, bytes)):
            raise ContractError(f"train takes many texts; got one {type(texts).__name__}.")
        counts = Counter(
            word for text in texts for word in _WORD.findall(ReferenceTokenizer.as_bytes(text)) if len(word) > 1
        )
        if len(counts) < room:
            raise DataError(f"the text has {len(counts)} words; {room} are needed.")
        return self.made(sorted(counts, key=lambda word: (-counts[word], word))[:room])

    def load(self, folder: Path) -> ReferenceTokenizer:
        path = folder / FILE_NAME
        if not path.is_file():
            raise DataError(f"{folder} holds no {FILE_NAME}.")
        try:
            return self.made([bytes.fromhex(word) for word in json.loads(path.read_text("utf-8"))])
        except (TypeError, ValueError) as error:
            raise DataError(f"{path} is damaged: {error}.") from error
