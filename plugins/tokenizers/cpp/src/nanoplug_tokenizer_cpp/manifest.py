"""What this distribution offers; imports nothing heavy."""

from __future__ import annotations

from attrs import frozen

from nanoplug.spec import Needs, TokenizerSpec, hookimpl


@frozen(kw_only=True)
class CppOptions:
    """superwords: learn tokens across words too, for training; a saved tokenizer keeps its own.

    engine: the library that encodes: `auto`, `fastokens` or `tokenizers`. The ids are the same.
    """

    superwords: bool = False
    engine: str = "auto"


@frozen(kw_only=True)
class CollapseOptions:
    """clang_format: decoded text goes through clang-format, which must be installed."""

    clang_format: bool = False


@hookimpl
def nanoplug_tokenizer() -> list[TokenizerSpec]:
    return [
        TokenizerSpec(
            name="cpp",
            summary="fixed C++ vocabulary and learned byte-level BPE; lossless",
            load="nanoplug_tokenizer_cpp.factory:CppFactory",
            needs=Needs(distributions=("rustbpe>=0.1", "tokenizers>=0.20,<1")),
            options=CppOptions,
            rank=60,
            lossless=True,
            trainable=True,
            chat=True,
            fim=True,
        ),
        TokenizerSpec(
            name="cpp-collapse",
            summary="drops white space; opens tokenizers of older checkpoints only",
            load="nanoplug_tokenizer_cpp.collapse:CollapseFactory",
            needs=Needs(distributions=("tokenizers>=0.20,<1",)),
            options=CollapseOptions,
            rank=0,
            chat=True,
            fim=True,
        ),
    ]
