"""What this distribution offers; imports nothing heavy."""

from __future__ import annotations

from attrs import frozen

from nanoplug.spec import Needs, TokenizerSpec, hookimpl


@frozen(kw_only=True)
class HfOptions:
    """bos: name of the token that leads each document; empty takes what the files say, or a usual name.

    exact: leave out what changes text (normalisers, a space put in front), and refuse what still loses a byte.
    chat, fim: add those special tokens of conversations, or of filling in the middle, that it lacks, as new ids.
    All count when files that nanoplug did not write are opened; a saved tokenizer keeps its own.
    """

    bos: str = ""
    exact: bool = False
    chat: bool = False
    fim: bool = False


@hookimpl
def nanoplug_tokenizer() -> list[TokenizerSpec]:
    return [
        TokenizerSpec(
            name="hf",
            summary="any Hugging Face tokenizer.json, served by the tokenizers library",
            load="nanoplug_tokenizer_hf.factory:HfFactory",
            needs=Needs(distributions=("tokenizers>=0.20,<1",)),
            options=HfOptions,
            rank=10,
            imports=("tokenizer.json",),
        )
    ]
