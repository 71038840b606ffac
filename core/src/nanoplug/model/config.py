"""The shape of a model: everything that decides its parameters and what they compute."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import attrs
from attrs import frozen

from nanoplug.errors import ConfigError

log = logging.getLogger(__name__)


@frozen(kw_only=True)
class GPTConfig:
    """Sizes of a GPT. Raises ConfigError when they contradict each other.

    vocab_size: tokens that exist. sequence_len: longest training row, in tokens.
    n_layer, n_head, n_kv_head, n_embd: layers, query heads, key/value heads, width.
    window_pattern: S and L in any case, repeated over the layers; S sees `sequence_len // 2` tokens back, L all;
        the last layer is L whatever the pattern says.
    softcap: logits become softcap * tanh(logits / softcap); None leaves them as they are.
    vocab_multiple: embedding and output head are padded to a multiple of this many rows; 1 pads nothing.
    """

    vocab_size: int = 50304
    sequence_len: int = 1024
    n_layer: int = 12
    n_head: int = 6
    n_kv_head: int = 6
    n_embd: int = 768
    window_pattern: str = "L"
    softcap: float | None = 15.0
    vocab_multiple: int = 64

    def __attrs_post_init__(self) -> None:
        for name in ("vocab_size", "sequence_len", "n_layer", "n_head", "n_kv_head", "n_embd", "vocab_multiple"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ConfigError(f"model: {name} is {value!r}; it must be a whole number of at least 1.")
        if self.n_embd % self.n_head:
            raise ConfigError(f"model: n_embd {self.n_embd} does not divide into {self.n_head} heads.")
        if self.n_kv_head > self.n_head or self.n_head % self.n_kv_head:
            raise ConfigError(
                f"model: {self.n_head} query heads cannot share {self.n_kv_head} key/value heads.",
                todo="n_kv_head must divide n_head.",
            )
        if self.head_dim % 2:
            raise ConfigError(
                f"model: head size {self.head_dim} (n_embd {self.n_embd} / n_head {self.n_head}) is odd;"
                " rotary embedding needs an even one."
            )
        if not isinstance(self.window_pattern, str) or not self.window_pattern:
            raise ConfigError(f"model: window_pattern is {self.window_pattern!r}; it needs at least one of S and L.")
        if wrong := sorted(set(self.window_pattern.upper()) - set("SL")):
            raise ConfigError(
                f"model: window_pattern {self.window_pattern!r} holds {', '.join(map(repr, wrong))};"
                " it may hold S and L only."
            )
        if self.softcap is not None and not self.softcap > 0:
            raise ConfigError(f"model: softcap is {self.softcap!r}; it must be positive, or None.")

    @property
    def head_dim(self) -> int:
        return self.n_embd // self.n_head

    @property
    def padded_vocab_size(self) -> int:
        """Rows of the embedding and of the output head."""
        return -(-self.vocab_size // self.vocab_multiple) * self.vocab_multiple

    def windows(self) -> list[int]:
        """For each layer how many tokens before its own a query sees; -1 is all of them."""
        pattern = self.window_pattern.upper()
        letters = [pattern[layer % len(pattern)] for layer in range(self.n_layer - 1)] + ["L"]
        return [self.sequence_len // 2 if letter == "S" else -1 for letter in letters]

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name, for JSON or TOML."""
        return attrs.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GPTConfig:
        """Read what `to_dict` gave, also of an older version.

        `window_pattern`, `softcap` and `vocab_multiple` may be missing and get their defaults; unknown keys are
        dropped with one log line that lists them. Raises ConfigError if a size is missing.
        """
        sizes = ("vocab_size", "sequence_len", "n_layer", "n_head", "n_kv_head", "n_embd")
        if missing := [name for name in sizes if name not in values]:
            raise ConfigError(f"model configuration lacks {', '.join(missing)}.", todo="Is it a model's configuration?")
        known = {attribute.name for attribute in attrs.fields(cls)}
        if dropped := sorted(set(values) - known):
            log.warning("model configuration: dropped unknown keys %s", ", ".join(dropped))
        return cls(**{name: value for name, value in values.items() if name in known})
