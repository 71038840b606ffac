"""Prompts that ask for what belongs between two texts."""

from __future__ import annotations

from nanoplug.data.fim_tokens import FimTokens
from nanoplug.errors import ConfigError
from nanoplug.inference.engine import Engine


def infill_prompt(engine: Engine, prefix: str, suffix: str, *, max_tokens: int, spm: bool = False) -> list[int]:
    """Ids after which the model writes the middle, as in training, and then the end.

    spm: the suffix comes before the prefix. Raises ConfigError if the tokenizer lacks the special tokens, or if the
    prompt and `max_tokens` do not fit into a row of the model.
    """
    tokenizer = engine.tokenizer
    ids = FimTokens.of(tokenizer).prompt(tokenizer.encode(prefix), tokenizer.encode(suffix), spm=spm)
    capacity = engine.model.config.sequence_len
    if len(ids) + max_tokens > capacity:
        raise ConfigError(
            f"prefix and suffix have {len(ids)} tokens; with {max_tokens} for the middle they do not fit into the"
            f" model's rows of {capacity}.",
            todo="Shorten the prefix from the front or the suffix from the back, or lower --max-tokens.",
        )
    return ids
