from __future__ import annotations

import math
from typing import Any

import attrs
import pytest

from nanoplug.config import SECTIONS
from nanoplug.errors import ConfigError
from nanoplug.optim.settings import OptimSettings
from nanoplug.ranges import _KEYS, _RANGES, check_values


def test_every_key_is_one_of_the_configuration_or_the_optimizer_and_in_one_range() -> None:
    keys = [key for named in _KEYS.values() for key in named]
    assert len(keys) == len(set(keys)) == len(_RANGES)
    known = {attribute.name for cls in (*SECTIONS.values(), OptimSettings) for attribute in attrs.fields(cls)}
    assert set(keys) <= known


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"depth": 0}, "s.depth is 0; it must be at least 1."),
        ({"depth": 1, "matrix_lr": -1e-9}, "s.matrix_lr is -1e-09; it must not be negative."),
        ({"stream_poll_s": 0.0}, "s.stream_poll_s is 0.0; it must be above 0."),
        ({"fim_rate": 1.5}, "s.fim_rate is 1.5; it must lie between 0 and 1."),
        ({"adam_beta1": 1.0}, "s.adam_beta1 is 1.0; it must be at least 0 and below 1."),
        ({"unheard_of": math.inf}, "s.unheard_of is inf; it must be a finite number."),
        ({"save_every": 0}, "s.save_every is 0; use a number of at least 1, or -1."),
        ({"tuning": "on"}, "s.tuning is 'on'; use auto or off."),
        ({"warmup_ratio": 0.7, "warmdown_ratio": 0.4}, "s: warmup_ratio 0.7 and warmdown_ratio 0.4 are more than 1"),
    ],
)
def test_values_out_of_range(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_values("s", values)
    assert says in str(caught.value)


def test_values_in_range() -> None:
    check_values("s", {"depth": 1, "matrix_lr": 0.0, "save_every": -1, "warmup_ratio": 0.6, "warmdown_ratio": 0.4})
    check_values("s", {"warmup_ratio": 0.7, "fim_rate": 0.7, "unheard_of": -5, "tuning": "off"})
