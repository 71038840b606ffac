"""A tokenizer from a tokenizer.json, served by the `tokenizers` library."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

from tokenizers import Tokenizer

from nanoplug.contracts import check_batch, check_text
from nanoplug.errors import ContractError, DataError
from nanoplug_tokenizer_hf.exact import first_loss, space_mark
from nanoplug_tokenizer_hf.files import Saved, write_saved
from nanoplug_tokenizer_hf.names import unknown_token, vocabulary
from nanoplug_tokenizer_hf.token_bytes import bytes_of_tokens, is_byte_level

# `surrogateescape` turns a byte that is not UTF-8 into one of these; no valid text holds them.
_STRAY = "\udc80-\udcff"


class HfTokenizer:
    """Serves `nanoplug.contracts.Tokenizer`. saved: what decides ids.

    losses: which text does not come back as it was, in words; empty if none is known. Where it is not empty, reading
    `bytes_per_token` raises DataError: bits per byte would be wrong.
    """

    def __init__(self, saved: Saved) -> None:
        self._saved = saved
        self._engine = _engine(saved)
        self.fingerprint = saved.fingerprint
        self.special: Mapping[str, int] = dict(saved.special)
        tokens = _tokens(saved)
        self.vocab_size = len(tokens)
        self._places = range(self.vocab_size)
        self._special_ids = frozenset(self.special.values())
        self._in_text = {token["content"]: token["id"] for token in saved.content["added_tokens"]}
        self._bytes = _bytes(saved, tokens, self._special_ids)
        self._single = self._single_bytes(tokens)
        self._unknown = self._engine.token_to_id(unknown_token(saved.content) or "")
        mark = space_mark(saved.content) if saved.exact else ""
        self._apart = re.compile(f"[{_STRAY}{re.escape(mark)}]+")

    @cached_property
    def losses(self) -> str:
        if isinstance(self._bytes, str):
            return self._bytes
        return first_loss(self.encode, self.decode_bytes)

    @cached_property
    def bytes_per_token(self) -> Sequence[int]:
        if self.losses or isinstance(self._bytes, str):
            raise DataError(
                f"hf: the bytes of a token cannot be counted, because text is not kept: {self.losses}.",
                todo="`nanoplug tokenizer import PATH --out FOLDER --option exact=true` leaves out what changes text.",
            )
        return tuple(map(len, self._bytes))

    def encode(self, text: str | bytes) -> list[int]:
        """Ids of `text`, never special ones. Bytes that are not UTF-8 become one id each.

        Raises ContractError on another type and on a string with lone surrogates, DataError if there is no token
        for a byte.
        """
        check_text("hf", text)
        if isinstance(text, bytes):
            return self._encode_escaped(text.decode("utf-8", errors="surrogateescape"))
        return self._encode_escaped(text)

    def encode_batch(self, texts: Sequence[str | bytes], *, threads: int = 4) -> list[list[int]]:
        """`encode` of each text, in order, on `threads` threads; the library works outside the interpreter's lock."""
        check_batch("hf", texts, threads)
        if threads == 1 or len(texts) < 2:
            return [self.encode(text) for text in texts]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(self.encode, texts))

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the ids, special ones left out, with U+FFFD for bytes that are not UTF-8."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """Bytes of the ids, none for special ones; where a token's bytes depend on its neighbours, by the library.

        Raises ContractError on an id that is not in the vocabulary.
        """
        try:
            if min(ids, default=0) >= 0:
                return self._joined(ids)
        except (TypeError, IndexError):
            pass
        bad = next((id for id in ids if not isinstance(id, int) or not 0 <= id < self.vocab_size), ids)
        raise ContractError(f"hf: id {bad!r} is not an integer from 0 to {self.vocab_size - 1}.")

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` and `hf.json` into `folder`, which is made if needed."""
        write_saved(self._saved, folder)

    def _joined(self, ids: Sequence[int]) -> bytes:
        if not isinstance(self._bytes, str):
            return b"".join(map(self._bytes.__getitem__, ids))
        plain = [self._places[id] for id in ids if id not in self._special_ids]
        return self._engine.decode(plain, skip_special_tokens=False).encode("utf-8")

    def _encode_escaped(self, text: str) -> list[int]:
        if not self._apart.search(text):
            return self._encode_text(text)
        ids: list[int] = []
        end = 0
        for apart in itertools.chain(self._apart.finditer(text), (None,)):
            ids += self._encode_text(text[end : apart.start() if apart else len(text)])
            if apart:
                ids += self._spelled(apart.group().encode("utf-8", errors="surrogateescape"))
                end = apart.end()
        return ids

    def _encode_text(self, text: str) -> list[int]:
        # Of one text alone, the library starts no threads of its own.
        ids: list[int] = self._engine.encode_batch_fast([text], add_special_tokens=False)[0].ids
        if self._special_ids.isdisjoint(ids):
            return ids
        # A model may spell a special token from text by its own means.
        names = {id: name for name, id in self._in_text.items()}
        return [
            part
            for id in ids
            for part in (self._spelled(names[id].encode("utf-8")) if id in self._special_ids else (id,))
        ]

    def _spelled(self, data: bytes) -> list[int]:
        """`data` byte by byte, or as the token for what has no other."""
        if self._single is not None:
            return [self._single[byte] for byte in data]
        if self._unknown is not None:
            return [self._unknown]
        raise DataError(
            f"hf: {data[:20]!r} cannot be encoded: this tokenizer has tokens neither for single bytes nor for what it"
            " does not know.",
            todo="Use a byte-level tokenizer for text like this.",
        )

    def _single_bytes(self, tokens: Sequence[str | None]) -> list[int] | None:
        """Ids of the 256 single bytes, or None if one has none."""
        if isinstance(self._bytes, str):
            return None
        if not is_byte_level(self._saved.content):
            ids = {f"<0x{byte:02X}>": byte for byte in range(256)}
            found = {ids[token]: id for id, token in enumerate(tokens) if token in ids}
        else:
            own = set(vocabulary(self._saved.content).values()) - self._special_ids
            found = {self._bytes[id][0]: id for id in sorted(own, reverse=True) if len(self._bytes[id]) == 1}
        return [found[byte] for byte in range(256)] if len(found) == 256 else None


def _engine(saved: Saved) -> Tokenizer:
    try:
        engine = Tokenizer.from_str(json.dumps(saved.content, ensure_ascii=False))
    except Exception as error:  # the library raises nothing more specific
        raise DataError(
            f"hf: the tokenizers library cannot read this {_kind(saved)}: {error}.",
            todo="It may be of a newer version of the library than the one that is installed.",
        ) from error
    for token in saved.content["added_tokens"]:
        found = engine.token_to_id(token["content"])
        if found != token["id"]:
            raise DataError(
                f"hf: the tokenizers library reads {token['content']!r} as id {found}, the file says {token['id']}.",
                todo="Its ids have a gap, or two tokens one spelling; save it again with the library that made it.",
            )
    engine.encode_special_tokens = True
    return engine


def _kind(saved: Saved) -> str:
    return f"tokenizer.json of type {saved.content['model'].get('type')!r}"


def _tokens(saved: Saved) -> list[str | None]:
    """The spelling of each id; ids without a token are possible."""
    ids = vocabulary(saved.content) | {token["content"]: token["id"] for token in saved.content["added_tokens"]}
    tokens: list[str | None] = [None] * (max(ids.values(), default=-1) + 1)
    for name, id in ids.items():
        tokens[id] = name
    return tokens


def _bytes(saved: Saved, tokens: Sequence[str | None], special: frozenset[int]) -> tuple[bytes, ...] | str:
    """Bytes of each id, or why they are not known."""
    added = {token["id"]: token["content"] for token in saved.content["added_tokens"]}
    found = bytes_of_tokens(saved.content, [None if id in added else token for id, token in enumerate(tokens)])
    if isinstance(found, str):
        return found
    plain = {id: name.encode("utf-8") for id, name in added.items() if id not in special}
    return tuple(plain.get(id, data) for id, data in enumerate(found))
