"""Deliberately wrong tokenizers, each wrong in one way, for the laws to reject."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from nanoplug.conformance.law import Wrong
from nanoplug.conformance.tokenizer_reference import (
    CHAT_SPECIAL,
    FILE_NAME,
    FimReferenceTokenizer,
    ReferenceFactory,
    ReferenceTokenizer,
)


class DropsTrailingWhitespace(ReferenceTokenizer):
    def encode(self, text: str | bytes) -> list[int]:
        return super().encode(re.sub(rb"[ \t]+\n", b"\n", self.as_bytes(text)))


class FoldsLineEnds(ReferenceTokenizer):
    def encode(self, text: str | bytes) -> list[int]:
        return super().encode(self.as_bytes(text).replace(b"\r\n", b"\n"))


class DropsByteOrderMark(ReferenceTokenizer):
    def encode(self, text: str | bytes) -> list[int]:
        return super().encode(self.as_bytes(text).removeprefix("\ufeff".encode()))


class ReplacesInvalidBytes(ReferenceTokenizer):
    def encode(self, text: str | bytes) -> list[int]:
        return super().encode(self.as_bytes(text).decode("utf-8", errors="replace"))


class BytesDifferFromText(ReferenceTokenizer):
    """Bytes are encoded one by one, text in words."""

    def encode(self, text: str | bytes) -> list[int]:
        return list(text) if isinstance(text, bytes) else super().encode(text)


class SpecialFromText(ReferenceTokenizer):
    def encode(self, text: str | bytes) -> list[int]:
        parts = re.split(rb"(<\|\w+\|>)", self.as_bytes(text))
        names = {name.encode(): id for name, id in self.special.items()}
        return [
            id for part in parts for id in ([names[part]] if part in names else ReferenceTokenizer.encode(self, part))
        ]


class SpecialAfterNewline(SpecialFromText):
    def encode(self, text: str | bytes) -> list[int]:
        ids: list[int] = []
        for place, line in enumerate(re.split(rb"(?<=\n)", self.as_bytes(text))):
            ids += super().encode(line) if place else ReferenceTokenizer.encode(self, line)
        return ids


class SpecialInDamagedBytes(SpecialFromText):
    """Falls back to another way where bytes are not UTF-8."""

    def encode(self, text: str | bytes) -> list[int]:
        data = self.as_bytes(text)
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            return super().encode(data)
        return ReferenceTokenizer.encode(self, data)


class IdsPastVocabulary(ReferenceTokenizer):
    def encode(self, text: str | bytes) -> list[int]:
        return [self.vocab_size if id == ord("}") else id for id in super().encode(text)]


class FloatIds(ReferenceTokenizer):
    def encode(self, text: str | bytes) -> list[int]:
        return [float(id) for id in super().encode(text)]  # type: ignore[misc]


class BatchByLength(ReferenceTokenizer):
    def encode_batch(self, texts: Sequence[str | bytes], *, threads: int = 4) -> list[list[int]]:
        return super().encode_batch(sorted(texts, key=len), threads=threads)


class BatchLeavesOutEmpty(ReferenceTokenizer):
    def encode_batch(self, texts: Sequence[str | bytes], *, threads: int = 4) -> list[list[int]]:
        return super().encode_batch([text for text in texts if text], threads=threads)


class ManyThreadsShareABuffer(ReferenceTokenizer):
    def encode_batch(self, texts: Sequence[str | bytes], *, threads: int = 4) -> list[list[int]]:
        ids = super().encode_batch(texts, threads=threads)
        return ids if threads == 1 else [ids[-1]] * len(ids)


class TakesOneStringAsMany(ReferenceTokenizer):
    def encode_batch(self, texts: Sequence[str | bytes], *, threads: int = 4) -> list[list[int]]:
        return super().encode_batch(list(texts), threads=threads)


class CountsCharacters(ReferenceTokenizer):
    def __init__(self, words: Sequence[bytes] = ()) -> None:
        super().__init__(words)
        characters = (len(token.decode("utf-8", errors="ignore")) for token in self.tokens)
        self.bytes_per_token = (*characters, *(0 for _ in self.names))


class CountsSpecialSpelling(ReferenceTokenizer):
    def __init__(self, words: Sequence[bytes] = ()) -> None:
        super().__init__(words)
        self.bytes_per_token = (*map(len, self.tokens), *map(len, self.names))


class CountsOrdinaryIdsOnly(ReferenceTokenizer):
    def __init__(self, words: Sequence[bytes] = ()) -> None:
        super().__init__(words)
        self.bytes_per_token = tuple(map(len, self.tokens))


class SpellsSpecialIds(ReferenceTokenizer):
    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        names = {id: name.encode() for name, id in self.special.items()}
        return b"".join(names.get(id) or ReferenceTokenizer.decode_bytes(self, [id]) for id in ids)


class DecodesEachIdAlone(ReferenceTokenizer):
    def decode(self, ids: Sequence[int]) -> str:
        return "".join(super(DecodesEachIdAlone, self).decode([id]) for id in ids)


class SpacesBetweenIds(ReferenceTokenizer):
    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        return b" ".join(ReferenceTokenizer.decode_bytes(self, [id]) for id in ids)


class IgnoresInvalidBytes(ReferenceTokenizer):
    def decode(self, ids: Sequence[int]) -> str:
        return self.decode_bytes(ids).decode("utf-8", errors="ignore")


class WrapsNegativeIds(ReferenceTokenizer):
    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        return super().decode_bytes([id % self.vocab_size if isinstance(id, int) else id for id in ids])


class SkipsUnknownIds(ReferenceTokenizer):
    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        return super().decode_bytes([id for id in ids if isinstance(id, int) and 0 <= id < self.vocab_size])


class TakesAnyType(ReferenceTokenizer):
    def encode(self, text: str | bytes) -> list[int]:
        return super().encode(text if isinstance(text, bytes) else str(text).encode("utf-8", errors="replace"))


class ConstantFingerprint(ReferenceTokenizer):
    def __init__(self, words: Sequence[bytes] = ()) -> None:
        super().__init__(words)
        self.fingerprint = "0" * 64


class NewFingerprintEachTime(ReferenceTokenizer):
    def __init__(self, words: Sequence[bytes] = ()) -> None:
        super().__init__(words)
        self.fingerprint = os.urandom(32).hex()


class ShortFingerprint(ReferenceTokenizer):
    def __init__(self, words: Sequence[bytes] = ()) -> None:
        super().__init__(words)
        self.fingerprint = self.fingerprint[:8]


class SavesHalf(ReferenceTokenizer):
    def save(self, folder: Path) -> None:
        ReferenceTokenizer(self.words[: len(self.words) // 2]).save(folder)


class NoBos(ReferenceTokenizer):
    def __init__(self, words: Sequence[bytes] = ()) -> None:
        super().__init__(words)
        self.special = {name: id for name, id in self.special.items() if name != "<|bos|>"}


class SpecialIdsShared(ReferenceTokenizer):
    def __init__(self, words: Sequence[bytes] = ()) -> None:
        super().__init__(words)
        self.special = dict.fromkeys(CHAT_SPECIAL, self.vocab_size - 1)


class SecondNameOfText(ReferenceTokenizer):
    def __init__(self, words: Sequence[bytes] = ()) -> None:
        super().__init__(words)
        self.special = {**self.special, "<|newline|>": ord("\n")}


class SecondNamePastVocabulary(ReferenceTokenizer):
    def __init__(self, words: Sequence[bytes] = ()) -> None:
        super().__init__(words)
        self.special = {**self.special, "<|endoftext|>": self.vocab_size}


class NoEos(FimReferenceTokenizer):
    def __init__(self, words: Sequence[bytes] = ()) -> None:
        super().__init__(words)
        self.special = {name: id for name, id in self.special.items() if name != "<EOS>"}


class FimIdsShared(FimReferenceTokenizer):
    def __init__(self, words: Sequence[bytes] = ()) -> None:
        super().__init__(words)
        self.special = {**self.special, "<FIM_MIDDLE>": self.special["<FIM_SUFFIX>"]}


class FimIsChat(FimReferenceTokenizer):
    def __init__(self, words: Sequence[bytes] = ()) -> None:
        super().__init__(words)
        self.special = {**self.special, "<FIM_MIDDLE>": self.special["<|assistant_start|>"]}


class TrustsItsFile(ReferenceTokenizer):
    """Its fingerprint does not depend on what it holds."""

    def __init__(self, words: Sequence[bytes] = ()) -> None:
        super().__init__(words)
        self.fingerprint = f"{len(words):064x}"


class OneMoreId(ReferenceFactory):
    def train(self, texts: Iterable[str], *, vocab_size: int) -> ReferenceTokenizer:
        return super().train(texts, vocab_size=vocab_size + 1)


class AcceptsNoRoom(ReferenceFactory):
    def train(self, texts: Iterable[str], *, vocab_size: int) -> ReferenceTokenizer:
        return super().train(texts, vocab_size=max(vocab_size, 512))


class ShuffledTraining(ReferenceFactory):
    def train(self, texts: Iterable[str], *, vocab_size: int) -> ReferenceTokenizer:
        words = super().train(texts, vocab_size=vocab_size).words
        return self.made(sorted(words, key=lambda _: os.urandom(8)))


class TrainsOnCharacters(ReferenceFactory):
    def train(self, texts: Iterable[str], *, vocab_size: int) -> ReferenceTokenizer:
        return super().train([texts] if isinstance(texts, str) else texts, vocab_size=min(vocab_size, 265))


class LoadsNothingAsNew(ReferenceFactory):
    def load(self, folder: Path) -> ReferenceTokenizer:
        return super().load(folder) if any(folder.iterdir()) else self.made()


class ReadsWhatIsLeft(ReferenceFactory):
    def load(self, folder: Path) -> ReferenceTokenizer:
        text = (folder / FILE_NAME).read_bytes() if (folder / FILE_NAME).exists() else b""
        return self.made([bytes.fromhex(word.decode()) for word in re.findall(rb'"((?:[0-9a-f]{2})+)"', text)])


class CrashesOnDamage(ReferenceFactory):
    def load(self, folder: Path) -> ReferenceTokenizer:
        return self.made([bytes.fromhex(word) for word in json.loads((folder / FILE_NAME).read_text("utf-8"))])


def tokenizer(made: type[ReferenceTokenizer]) -> Wrong:
    """A factory of one wrong class of tokenizer."""
    return Wrong(made.__name__, lambda: ReferenceFactory(made))


def factory(made: type[ReferenceFactory]) -> Wrong:
    """A wrong factory."""
    return Wrong(made.__name__, made)
