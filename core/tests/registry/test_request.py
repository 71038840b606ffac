from __future__ import annotations

import pytest

from nanoplug.errors import ConfigError
from nanoplug.registry.request import Request


def test_described_reads_every_kind_of_value_and_leaves_the_machine_alone() -> None:
    text = "sm_89, torch=2.11,dtype=bf16,head_dim=128,window=1024,backward,cache=no,softcap=15.0,ops=rms_norm+rotary"
    assert Request.described(text) == Request(
        device="cuda",
        dtype="bf16",
        head_dim=128,
        window=1024,
        backward=True,
        cache=False,
        softcap=True,
        ops={"rms_norm", "rotary"},
    )


def test_an_explicit_device_wins_over_what_the_machine_has() -> None:
    assert Request.described("sm_90,device=cpu").device == "cpu"
    assert Request.described("device=cpu,sm_90").device == "cpu"
    assert Request.described("mps").device == "mps"


def test_nothing_said_asks_for_nothing() -> None:
    assert Request.described("") == Request()


@pytest.mark.parametrize("text", ["dtype=bf61", "head_dim=big", "head_dim", "backward=perhaps", "softcap=x", "dtype="])
def test_wrong_values_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        Request.described(text)


def test_a_misspelt_value_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="'bf16'"):
        Request.described("dtype=bf61")


def test_softcap_may_be_given_as_its_value() -> None:
    assert Request(softcap=15.0).softcap is True  # type: ignore[arg-type]
    assert Request().softcap is None
