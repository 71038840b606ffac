"""The tokenizer of older checkpoints: it drops white space, and decoding puts it back by rules.

It opens a `tokenizer.json` of one of the two older layouts (32,768 and 65,536 tokens) and trains none.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

from tokenizers import Tokenizer

from nanoplug import whole_files
from nanoplug.errors import ContractError, DataError, PluginError
from nanoplug_tokenizer_cpp.layout import ALIASES, CHAT, FIRST_CHAT, OPERATORS, SPECIAL
from nanoplug_tokenizer_cpp.spacing import Piece, joined

FILE_NAME = "tokenizer.json"
FIRST_LEARNED_OF_SIZE: Mapping[int, int] = {32_768: 1_600, 65_536: 4_800}
UNKNOWN = "<UNK>"
_TOOL_RESULT = SPECIAL.index("TOOL_RESULT")
_FORMATTER = "clang-format"
_FORMAT_LIMIT_S = 60
_SPECIAL_NAME = re.compile(r"<[A-Z][A-Z0-9_]*>|<\|[a-z_]+\|>")
_LEXEMES = re.compile(
    "|".join(map(re.escape, sorted(OPERATORS, key=len, reverse=True))) + r"|\n|_|[^\s\w]|[^\W_]+", re.ASCII
)


class CollapseFactory:
    """Serves `nanoplug.contracts.TokenizerFactory`, without training.

    clang_format: decoded text goes through clang-format. Raises PluginError if that is not installed.
    """

    def __init__(self, *, clang_format: bool = False) -> None:
        if clang_format and shutil.which(_FORMATTER) is None:
            raise PluginError(
                f"cpp-collapse: {_FORMATTER} was asked for and is not installed.",
                todo=f"pip install {_FORMATTER}, or leave clang_format out.",
            )
        self._clang_format = clang_format

    def train(self, texts: Iterable[str], *, vocab_size: int) -> NoReturn:
        """Raises ContractError: new tokenizers lose nothing."""
        raise ContractError(
            "cpp-collapse trains no tokenizers; it opens those of older checkpoints.", todo="Train one of cpp."
        )

    def load(self, folder: Path) -> CollapseTokenizer:
        """The tokenizer whose `tokenizer.json` is in `folder`. Raises DataError if it is missing or another's."""
        path = folder / FILE_NAME
        try:
            text = path.read_bytes().decode("utf-8")
            content = json.loads(text)
        except FileNotFoundError:
            raise DataError(f"{folder} holds no {FILE_NAME}, so there is no cpp-collapse tokenizer.") from None
        except ValueError as error:
            raise DataError(f"{path} is damaged: {error}.") from error
        return CollapseTokenizer(text, _named_ids(content, path), clang_format=self._clang_format)


class CollapseTokenizer:
    """Serves `nanoplug.contracts.Tokenizer`, except that decoding gives other white space than was encoded.

    source: text of the file. names: of each id.
    """

    def __init__(self, source: str, names: Sequence[str], *, clang_format: bool) -> None:
        self._source = source
        self._clang_format = clang_format
        self.vocab_size = len(names)
        self.special: Mapping[str, int] = _special_ids(names)
        self.fingerprint = hashlib.sha256(source.encode("utf-8")).hexdigest()
        silent = set(self.special.values())
        first_learned = FIRST_LEARNED_OF_SIZE[len(names)]
        self._pieces = tuple(
            Piece(text=name, fixed=id < first_learned, special=id in silent or _is_name(name))
            for id, name in enumerate(names)
        )
        self.bytes_per_token: Sequence[int] = tuple(
            0 if piece.special else len(piece.text.encode("utf-8")) for piece in self._pieces
        )
        self._unknown = self.special[UNKNOWN]
        self._tokenizer, self._splits_itself = _library_tokenizer(source)

    def encode(self, text: str | bytes) -> list[int]:
        """Ids of `text` without its white space; what the vocabulary lacks is UNK. Bytes that are not UTF-8 are UNK.

        Raises ContractError on another type, and on a string with lone surrogates.
        """
        if isinstance(text, bytes):
            text = text.decode("utf-8", errors="replace")
        if not isinstance(text, str):
            raise ContractError(f"cpp-collapse: encode takes str or bytes; got {type(text).__name__}.")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ContractError(f"cpp-collapse: the string has a lone surrogate at position {error.start}.") from None
        if self._splits_itself:
            return list(self._tokenizer.encode(text, add_special_tokens=False).ids)
        words = _LEXEMES.findall(text)
        return list(self._tokenizer.encode(words, is_pretokenized=True, add_special_tokens=False).ids) if words else []

    def encode_batch(self, texts: Sequence[str | bytes], *, threads: int = 4) -> list[list[int]]:
        """`encode` of each text, in order, on `threads` threads."""
        if isinstance(texts, (str, bytes)):
            raise ContractError(f"cpp-collapse: encode_batch takes many texts; got one {type(texts).__name__}.")
        if threads < 1:
            raise ContractError(f"cpp-collapse: threads is {threads}; it must be at least 1.")
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(self.encode, texts))

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the ids, spaced by rules, special ones left out; raises ContractError on an id out of range."""
        text = joined(map(self._piece_of, ids))
        return _formatted(text) if self._clang_format else text

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """`decode` as UTF-8."""
        return self.decode(ids).encode("utf-8")

    def save(self, folder: Path) -> None:
        """Write the `tokenizer.json` that was loaded, unchanged."""
        folder.mkdir(parents=True, exist_ok=True)
        whole_files.write_text(folder / FILE_NAME, self._source)

    def _piece_of(self, id: int) -> Piece:
        try:
            if id >= 0:
                return self._pieces[id]
        except (TypeError, IndexError):
            pass
        raise ContractError(f"cpp-collapse: id {id!r} is not an integer from 0 to {self.vocab_size - 1}.")


def _named_ids(content: Any, path: Path) -> list[str]:
    try:
        ids = dict(content["model"]["vocab"])
        ids |= {token["content"]: token["id"] for token in content.get("added_tokens") or []}
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise DataError(f"{path} has no vocabulary where one was expected: {error!r}.") from error
    names = sorted(ids, key=ids.__getitem__)
    if [ids[name] for name in names] != list(range(len(names))) or len(names) not in FIRST_LEARNED_OF_SIZE:
        sizes = " or ".join(f"{size:,}" for size in FIRST_LEARNED_OF_SIZE)
        raise DataError(f"{path} holds {len(names):,} tokens; the older layouts have {sizes}, numbered from 0.")
    expected = [f"<{name}>" for name in SPECIAL[:_TOOL_RESULT]]
    if names[:_TOOL_RESULT] != expected:
        raise DataError(f"{path}: its first ids are not the special tokens of the older layouts: {names[:3]}.")
    return names


def _special_ids(names: Sequence[str]) -> dict[str, int]:
    """Special tokens by name. The older files call id 19 reserved, and have no tokens for conversations."""
    ids = {f"<{name}>": id for id, name in enumerate(SPECIAL)}
    found = {name: id for id, name in enumerate(names) if name.startswith("<|") and _is_name(name)}
    reserved = iter([id for id, name in enumerate(names) if name.startswith("<RESERVED_") and id >= FIRST_CHAT])
    chat = {f"<|{name}|>": found.get(f"<|{name}|>", next(reserved, -1)) for name in CHAT}
    if -1 in chat.values():
        raise DataError("the file has no reserved ids left for the special tokens of conversations.")
    return ids | chat | {alias: ids[name] for alias, name in ALIASES.items()}


def _is_name(text: str) -> bool:
    return _SPECIAL_NAME.fullmatch(text) is not None


def _library_tokenizer(source: str) -> tuple[Tokenizer, bool]:
    """The library's tokenizer, which knows no special token in text, and whether the file says how to split text."""
    content = json.loads(source)
    content["added_tokens"] = [
        token for token in content.get("added_tokens") or [] if not _is_name(token["content"]) and not token["special"]
    ]
    content["post_processor"] = None
    try:
        return Tokenizer.from_str(json.dumps(content)), content.get("pre_tokenizer") is not None
    except Exception as error:  # the library raises bare Exception
        raise DataError(f"the tokenizers library cannot read {FILE_NAME}: {error}.") from error


def _formatted(text: str) -> str:
    command = [_FORMATTER, "--assume-filename=decoded.cc"]
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=_FORMAT_LIMIT_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise PluginError(f"cpp-collapse: {_FORMATTER} failed: {error}.", todo="Leave clang_format out.") from error
    return done.stdout
