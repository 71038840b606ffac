"""What the registry says of this backend from its manifest alone."""

from __future__ import annotations

import pytest
from nanoplug_attention_fa4.manifest import nanoplug_attention

from nanoplug.registry import Machine, Request
from nanoplug.registry.judge import judge

(SPEC,) = nanoplug_attention()
INSTALLED = "platform=linux,torch=2.11,flash-attn-4=4.0.0b36"


def reasons(text: str, installed: str = INSTALLED) -> list[str]:
    machine = Machine.described(f"{text},{installed}")
    return [str(reason) for reason in judge(SPEC, machine, Request.described(text))]


@pytest.mark.parametrize("gpu", ["sm_90", "sm_100"])
def test_serves_its_gpus(gpu: str) -> None:
    assert reasons(f"{gpu},dtype=bf16,head_dim=128,window=1024,heads=16,kv_heads=4,backward") == []


@pytest.mark.parametrize(
    "text, word",
    [
        ("sm_89", "9.0 or 10.0, got 8.9"),
        ("sm_121", "9.0 or 10.0, got 12.1"),
        ("cpu", "serves device cuda, not cpu"),
        ("sm_90,dtype=fp32", "dtype fp32 is not served"),
        ("sm_90,head_dim=40", "32 to 128 in steps of 32"),
        ("sm_90,cache", "serves no KV cache"),
        ("sm_90,segments", "serves no document segments"),
    ],
)
def test_says_why_not(text: str, word: str) -> None:
    (reason,) = reasons(text)
    assert word in reason


def test_names_the_library_that_it_needs() -> None:
    (reason,) = reasons("sm_90", "platform=linux,torch=2.11,flash-attn-4=4.0.0b12")
    assert "flash-attn-4>=4.0.0b36" in reason
