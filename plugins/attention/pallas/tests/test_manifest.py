"""What the registry says of this backend from its manifest alone."""

from __future__ import annotations

import pytest
from nanoplug_attention_pallas.manifest import nanoplug_attention

from nanoplug.registry import Machine, Request
from nanoplug.registry.judge import judge

(SPEC,) = nanoplug_attention()
INSTALLED = "platform=linux,torch=2.9,torch_xla=2.9,jax=0.7.1"


def reasons(text: str, installed: str = INSTALLED) -> list[str]:
    machine = Machine.described(f"{text},{installed}")
    return [str(reason) for reason in judge(SPEC, machine, Request.described(text))]


def test_serves_xla() -> None:
    assert reasons("xla,dtype=bf16,head_dim=128,window=1024,heads=16,kv_heads=4,backward,segments") == []


@pytest.mark.parametrize(
    "text, word",
    [
        ("cpu", "serves device xla, not cpu"),
        ("sm_90", "serves device xla, not cuda"),
        ("xla,dtype=fp16", "dtype fp16 is not served"),
        ("xla,head_dim=80", "32 to 256 in steps of 32"),
        ("xla,cache", "serves no KV cache"),
        ("xla,noncausal", "serves causal attention only"),
    ],
)
def test_says_why_not(text: str, word: str) -> None:
    assert any(word in reason for reason in reasons(text)), reasons(text)


def test_names_what_it_needs() -> None:
    found = reasons("xla", "platform=linux,torch=2.13,torch_xla=2.8,jax=0.10.2")
    assert ["torch_xla>=2.9" in found[0], "jax>=0.7.1" in found[1], len(found)] == [True, True, 2]


def test_its_label_says_what_was_never_done() -> None:
    assert "compiled for TPU, not executed on TPU" in SPEC.summary
