"""What the registry says of this backend from its manifest alone."""

from __future__ import annotations

import pytest
from nanoplug_attention_fa3.manifest import nanoplug_attention

from nanoplug.registry import Machine, Request
from nanoplug.registry.judge import judge

(SPEC,) = nanoplug_attention()


def reasons(text: str) -> list[str]:
    words = f"{text},platform=linux,torch=2.11"
    machine = Machine.described(",".join(word for word in words.split(",") if word))
    return [str(reason) for reason in judge(SPEC, machine, Request.described(text))]


@pytest.mark.parametrize("gpu", ["sm_90", "sm_121"])
def test_serves_its_gpus(gpu: str) -> None:
    asked = "dtype=bf16,head_dim=128,window=1024,heads=16,kv_heads=4,segments,cache,backward"
    assert reasons(f"{gpu},{asked}") == []


@pytest.mark.parametrize(
    "text, word",
    [
        ("sm_89", "9.0 or 12.1, got 8.9"),
        ("sm_100", "9.0 or 12.1, got 10.0"),
        ("cpu", "serves device cuda, not cpu"),
        ("sm_90,dtype=fp32", "dtype fp32 is not served"),
        ("sm_90,head_dim=264", "8 to 256 in steps of 8"),
        ("sm_90,deterministic", "is not deterministic"),
    ],
)
def test_says_why_not(text: str, word: str) -> None:
    (reason,) = reasons(text)
    assert word in reason


def test_needs_a_library_on_a_machine_that_has_none() -> None:
    machine = Machine(python="3.12.3", platform="linux", devices=("cpu",), absent={"cuda": "no driver"})
    if machine.has_module("flash_attn_interface") or machine.has_module("xformers"):
        pytest.skip("this machine has the library")
    said = [str(reason) for reason in judge(SPEC, machine, Request())]
    assert any("flash_attn_interface or xformers" in reason for reason in said)
