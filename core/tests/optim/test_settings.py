from __future__ import annotations

from typing import Any

import pytest

from nanoplug.errors import ConfigError
from nanoplug.optim.settings import OptimSettings


def test_defaults() -> None:
    settings = OptimSettings()
    assert (settings.embedding_lr, settings.unembedding_lr) == (0.3, 0.004)
    assert (settings.matrix_lr, settings.scalar_lr, settings.weight_decay) == (0.02, 0.5, 0.2)
    assert (settings.adam_beta1, settings.adam_beta2) == (0.8, 0.95)
    assert (settings.warmup_ratio, settings.warmdown_ratio, settings.final_lr_frac) == (0.0, 0.4, 0.0)
    assert settings.total_batch_tokens == 524_288


@pytest.mark.parametrize(
    "values, named",
    [
        ({"matrix_lr": -1.0}, "matrix_lr is -1.0"),
        ({"embedding_lr": float("nan")}, "embedding_lr"),
        ({"adam_beta1": 1.0}, "adam_beta1"),
        ({"warmdown_ratio": 1.5}, "warmdown_ratio is 1.5"),
        ({"warmup_ratio": 0.7}, "warmup_ratio 0.7 and warmdown_ratio 0.4"),
        ({"total_batch_tokens": 0}, "total_batch_tokens"),
    ],
)
def test_bad_values_are_named(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        OptimSettings(**values)
