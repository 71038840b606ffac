"""What the values of a configuration may be, by the names of their keys."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from nanoplug.errors import ConfigError


@frozen
class Range:
    """What a value may be, in words, and whether one is."""

    words: str
    holds: Callable[[Any], bool]


_AT_LEAST_1 = Range("it must be at least 1", lambda value: value >= 1)
_POSITIVE = Range("it must be above 0", lambda value: value > 0)
_NOT_NEGATIVE = Range("it must not be negative", lambda value: value >= 0)
_SHARE = Range("it must lie between 0 and 1", lambda value: 0 <= value <= 1)
_BETA = Range("it must be at least 0 and below 1", lambda value: 0 <= value < 1)
_EVERY = Range("use a number of at least 1, or -1", lambda value: value >= 1 or value == -1)
_MODE = Range("use auto, on or off", lambda value: value in ("auto", "on", "off"))
_AUTO_OR_OFF = Range("use auto or off", lambda value: value in ("auto", "off"))
_KEYS: Mapping[Range, tuple[str, ...]] = {
    _AT_LEAST_1: (
        "log_every",
        "tokenizer_threads",
        "tokenizer_batch",
        "buffer_documents",
        "depth",
        "aspect_ratio",
        "head_dim",
        "sequence_len",
        "device_batch_size",
        "total_batch_size",
        "total_batch_tokens",
        "eval_tokens",
        "cpp_eval_max_problems",
    ),
    _POSITIVE: ("stream_poll_s",),
    _NOT_NEGATIVE: (
        "seed",
        "tokenizer_workers",
        "canary",
        "kv_heads",
        "embedding_lr",
        "unembedding_lr",
        "matrix_lr",
        "scalar_lr",
        "weight_decay",
    ),
    _SHARE: (
        "warmup_ratio",
        "warmdown_ratio",
        "final_lr_frac",
        "fim_rate",
        "fim_spm_rate",
        "fim_function_rate",
        "fim_structured_rate",
    ),
    _BETA: ("adam_beta1", "adam_beta2"),
    _EVERY: ("eval_every", "sample_every", "cpp_eval_every", "save_every", "keep_checkpoints"),
    _MODE: ("compile",),
    _AUTO_OR_OFF: ("tuning",),
}
_RANGES = {key: allowed for allowed, keys in _KEYS.items() for key in keys}
_AT_MOST_1_TOGETHER = (("warmup_ratio", "warmdown_ratio"), ("fim_rate", "fim_structured_rate"))


def check_values(section: str, values: Mapping[str, Any]) -> None:
    """Raises ConfigError for the first of `values`, by key, that is out of range alone or together with another."""
    for key, value in values.items():
        allowed = _RANGES.get(key)
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{section}.{key} is {value}; it must be a finite number.")
        if allowed is not None and not allowed.holds(value):
            raise ConfigError(f"{section}.{key} is {value!r}; {allowed.words}.")
    for one, other in _AT_MOST_1_TOGETHER:
        if one in values and other in values and values[one] + values[other] > 1:
            raise ConfigError(
                f"{section}: {one} {values[one]} and {other} {values[other]} are more than 1 together.",
                todo="They are shares of the same whole; lower one.",
            )
