"""The libraries that can serve a saved tokenizer: all give the same ids."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from typing import Protocol

from tokenizers import Tokenizer

from nanoplug.errors import ConfigError, PluginError, nearest

JIT_STACK_BYTES = 16 << 20
"""Enough for a stretch of any text; fastokens' own limit is reached by 4,000 slashes with spaces between."""


class Engine(Protocol):
    """name: the library that serves. encode: ids of a text, none of them special."""

    name: str

    def encode(self, text: str) -> list[int]: ...


class Tokenizers:
    """Hugging Face's `tokenizers`."""

    name = "tokenizers"

    def __init__(self, tokenizer_json: str) -> None:
        self._tokenizer = Tokenizer.from_str(tokenizer_json)

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids


class Fastokens:
    """`fastokens`: several times as fast, and there are wheels for few machines."""

    name = "fastokens"

    def __init__(self, tokenizer_json: str) -> None:
        import fastokens  # type: ignore[import-untyped]

        self._tokenizer = fastokens.Tokenizer.from_json_str(tokenizer_json, pcre2_max_jit_stack_size=JIT_STACK_BYTES)

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids


ENGINES: Mapping[str, Callable[[str], Engine]] = {"fastokens": Fastokens, "tokenizers": Tokenizers}
"""Fastest first."""


def chosen_engine(asked: str) -> str:
    """The name of the engine that serves. asked: its name, or `auto` for the fastest that is installed.

    Raises ConfigError if the name is unknown, PluginError if the library is not installed.
    """
    if asked == "auto":
        return next(name for name in ENGINES if _installed(name))
    if asked not in ENGINES:
        raise ConfigError(
            f"cpp: engine {asked!r} is unknown; there is auto, {', '.join(ENGINES)}{nearest(asked, ENGINES)}."
        )
    if not _installed(asked):
        raise PluginError(
            f"cpp: engine {asked!r} was asked for, but {asked} is not installed.",
            todo=f"pip install {asked}, or use engine=auto: every engine gives the same ids.",
        )
    return asked


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
