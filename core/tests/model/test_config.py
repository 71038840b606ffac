from __future__ import annotations

import logging
import subprocess
import sys
from typing import Any

import pytest

from nanoplug.errors import ConfigError
from nanoplug.model.config import GPTConfig


def test_defaults() -> None:
    config = GPTConfig()
    assert (config.sequence_len, config.vocab_size, config.n_layer) == (1024, 50304, 12)
    assert (config.n_head, config.n_kv_head, config.n_embd, config.window_pattern) == (6, 6, 768, "L")
    assert (config.softcap, config.vocab_multiple, config.head_dim) == (15.0, 64, 128)


@pytest.mark.parametrize(
    "pattern, layers, expected",
    [
        ("L", 3, [-1, -1, -1]),
        ("S", 3, [512, 512, -1]),
        ("sSsl", 6, [512, 512, 512, -1, 512, -1]),
        ("LS", 1, [-1]),
        ("SSSL", 8, [512, 512, 512, -1, 512, 512, 512, -1]),
    ],
)
def test_windows_tile_the_pattern_and_end_unlimited(pattern: str, layers: int, expected: list[int]) -> None:
    assert GPTConfig(window_pattern=pattern, n_layer=layers).windows() == expected


@pytest.mark.parametrize("vocabulary, multiple, padded", [(50257, 64, 50304), (64, 64, 64), (65, 64, 128), (65, 1, 65)])
def test_padded_vocabulary(vocabulary: int, multiple: int, padded: int) -> None:
    assert GPTConfig(vocab_size=vocabulary, vocab_multiple=multiple).padded_vocab_size == padded


@pytest.mark.parametrize(
    "values, named",
    [
        ({"n_embd": 770}, "770"),
        ({"n_head": 6, "n_kv_head": 4}, "4 key/value heads"),
        ({"n_head": 2, "n_kv_head": 4}, "4 key/value heads"),
        ({"n_embd": 30, "n_head": 6, "n_kv_head": 6}, "head size 5"),
        ({"window_pattern": ""}, "window_pattern"),
        ({"window_pattern": "SXL"}, "'X'"),
        ({"softcap": 0.0}, "softcap"),
        ({"softcap": float("nan")}, "softcap"),
        ({"n_layer": 0}, "n_layer"),
        ({"vocab_size": -1}, "vocab_size"),
        ({"vocab_multiple": 0}, "vocab_multiple"),
        ({"sequence_len": 2.0}, "sequence_len"),
        ({"n_layer": True}, "n_layer"),
    ],
)
def test_bad_values_are_named(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        GPTConfig(**values)


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(TypeError, match="n_layers"):
        GPTConfig(n_layers=3)  # type: ignore[call-arg]


def test_dict_round_trip() -> None:
    config = GPTConfig(n_layer=3, window_pattern="ssL", softcap=None)
    assert GPTConfig.from_dict(config.to_dict()) == config


def test_old_configurations_are_read(caplog: pytest.LogCaptureFixture) -> None:
    sizes = {"vocab_size": 100, "sequence_len": 8, "n_layer": 2, "n_head": 2, "n_kv_head": 1, "n_embd": 8}
    with caplog.at_level(logging.WARNING):
        config = GPTConfig.from_dict({**sizes, "zeta": 1, "alpha": 2})
    assert config == GPTConfig(**sizes, window_pattern="L")
    assert [record.getMessage() for record in caplog.records] == [
        "model configuration: dropped unknown keys alpha, zeta"
    ]


def test_a_configuration_without_sizes_is_refused() -> None:
    with pytest.raises(ConfigError, match="n_layer, n_head"):
        GPTConfig.from_dict({"vocab_size": 100, "sequence_len": 8, "n_kv_head": 1, "n_embd": 8})


def test_configuration_and_costs_need_no_torch() -> None:
    code = "import sys, nanoplug.model.flops; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
