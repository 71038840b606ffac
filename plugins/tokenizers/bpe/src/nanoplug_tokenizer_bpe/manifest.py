"""What this distribution offers; imports nothing heavy."""

from __future__ import annotations

from attrs import frozen

from nanoplug.spec import Needs, TokenizerSpec, hookimpl


@frozen(kw_only=True)
class BpeOptions:
    """pattern: how text is split before merging, for training; a saved tokenizer keeps its own (`gpt4` or `code`)."""

    pattern: str = "gpt4"


@hookimpl
def nanoplug_tokenizer() -> list[TokenizerSpec]:
    return [
        TokenizerSpec(
            name="bpe",
            summary="byte-level BPE: rustbpe trains, tiktoken encodes; lossless",
            load="nanoplug_tokenizer_bpe.factory:BpeFactory",
            needs=Needs(distributions=("rustbpe>=0.1", "tiktoken>=0.7")),
            options=BpeOptions,
            rank=50,
            lossless=True,
            trainable=True,
            chat=True,
        )
    ]
