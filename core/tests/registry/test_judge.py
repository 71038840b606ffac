"""Every capability and need, once met and once not; an unmet one gives exactly one reason that names it."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from nanoplug.registry.judge import judge
from nanoplug.registry.machine import Machine
from nanoplug.registry.nvidia import Gpu
from nanoplug.registry.request import Request
from nanoplug.spec import AttentionSpec, DeviceSpec, KernelSpec, Needs, TokenizerSpec

MACHINE = Machine(
    python="3.11.7",
    platform="linux",
    gpus=(Gpu("RTX 4090", "8.9"),),
    devices=("cuda", "cpu"),
    absent={"mps": "this is no Mac", "xla": "PJRT_DEVICE is not set"},
    given={"torch": "2.11.0+cu130"},
)
ATTENTION = AttentionSpec(
    name="a", summary="", load="m:o", dtypes={"bf16"}, head_dims=range(16, 129, 16), max_tokens=4096
)
KERNEL = KernelSpec(name="k", summary="", load="m:o", ops={"rms_norm"}, dtypes={"fp32"}, reductions={"mean"})
TOKENIZER = TokenizerSpec(name="t", summary="", load="m:o")
DEVICE = DeviceSpec(name="d", summary="", load="m:o", device_type="cuda", dtypes={"bf16"})


@pytest.mark.parametrize(
    "needs, word",
    [
        ({"distributions": ["torch>=2.12"]}, "torch>=2.12"),
        ({"distributions": ["no-such-thing>=1"]}, "no-such-thing"),
        ({"python": ">=3.12"}, "Python"),
        ({"platforms": ["darwin"]}, "darwin"),
        ({"devices": ["mps"]}, "this is no Mac"),
        ({"compute_capability": ["==9.0", "==12.1"]}, "9.0 or 12.1"),
        ({"modules": ["no_such_module"]}, "no_such_module"),
        ({"any_module": ["no_such_module", "nor_this_one"]}, "no_such_module or nor_this_one"),
    ],
)
def test_an_unmet_need_is_one_reason(needs: dict[str, Any], word: str) -> None:
    reasons = judge(evolve(ATTENTION, needs=Needs(**needs)), MACHINE, Request())
    assert len(reasons) == 1
    assert word in str(reasons[0])


def test_met_needs_are_no_reason() -> None:
    needs = Needs(
        distributions=["torch>=2.9,<2.14"],
        python=">=3.10",
        platforms=["linux"],
        devices=["cuda", "xla"],
        compute_capability=[">=9.0", "==8.9"],
        modules=["json"],
        any_module=["no_such_module", "json"],
    )
    assert judge(evolve(ATTENTION, needs=needs), MACHINE, Request(device="cuda")) == ()


def test_compute_capability_is_asked_of_cuda_alone() -> None:
    spec = evolve(ATTENTION, needs=Needs(compute_capability=">=9.0"))
    assert judge(spec, MACHINE, Request(device="cuda"))
    assert judge(spec, MACHINE, Request(device="cpu")) == ()
    no_gpu = evolve(MACHINE, gpus=(), devices=("cpu",))
    assert judge(spec, no_gpu, Request()) == ()
    unknown = evolve(MACHINE, gpus=(Gpu("?", ""),))
    assert len(judge(spec, unknown, Request(device="cuda"))) == 1


def test_the_device_asked_for_must_be_there_and_served() -> None:
    spec = evolve(ATTENTION, needs=Needs(devices=["cuda"]))
    assert "serves device cuda, not cpu" in str(judge(spec, MACHINE, Request(device="cpu"))[0])
    assert "PJRT_DEVICE" in str(judge(ATTENTION, MACHINE, Request(device="xla"))[0])
    assert judge(ATTENTION, MACHINE, Request(device="cpu")) == ()


@pytest.mark.parametrize(
    "unserved, served",
    [
        ({"dtype": "fp32"}, {"dtype": "bf16"}),
        ({"head_dim": 100}, {"head_dim": 128}),
        ({"window": 0}, {"window": -1}),
        ({"heads": 8, "kv_heads": 2}, {"heads": 8, "kv_heads": 8}),
        ({"tokens": 4097}, {"tokens": 4096}),
        ({"segments": True}, {"segments": False}),
        ({"cache": True}, {"cache": None}),
        ({"backward": True}, {"backward": False}),
        ({"noncausal": True}, {}),
        ({"deterministic": True}, {}),
    ],
)
def test_attention(unserved: dict[str, Any], served: dict[str, Any]) -> None:
    assert len(judge(ATTENTION, MACHINE, Request(**unserved))) == 1
    assert judge(ATTENTION, MACHINE, Request(**served)) == ()
    able = evolve(
        ATTENTION, dtypes={"fp32"}, head_dims=None, window=True, gqa=True, max_tokens=None, segments=True, cache=True,
        backward=True, noncausal=True, deterministic=True,
    )  # fmt: skip
    assert judge(able, MACHINE, Request(**unserved)) == ()


@pytest.mark.parametrize(
    "unserved, served",
    [
        ({"dtype": "bf16"}, {"dtype": "fp32"}),
        ({"ops": {"rotary"}}, {"ops": {"rms_norm"}}),
        ({"reduction": "none"}, {"reduction": "mean"}),
        ({"softcap": True}, {"softcap": False}),
        ({"backward": True}, {}),
        ({"deterministic": True}, {}),
    ],
)
def test_kernel(unserved: dict[str, Any], served: dict[str, Any]) -> None:
    assert len(judge(KERNEL, MACHINE, Request(**unserved))) == 1
    assert judge(KERNEL, MACHINE, Request(**served)) == ()


@pytest.mark.parametrize("name", ["lossless", "trainable", "chat", "fim"])
def test_tokenizer(name: str) -> None:
    assert len(judge(TOKENIZER, MACHINE, Request(**{name: True}))) == 1
    assert judge(evolve(TOKENIZER, **{name: True}), MACHINE, Request(**{name: True})) == ()


def test_files_that_a_tokenizer_imports() -> None:
    asked = Request(imports="tokenizer.json")
    (reason,) = judge(evolve(TOKENIZER, imports=("spm.model", "other.json")), MACHINE, asked)
    assert str(reason) == "does not open tokenizer.json (it opens spm.model or other.json)"
    assert judge(evolve(TOKENIZER, imports="tokenizer.json"), MACHINE, asked) == ()
    assert Request.described("imports=tokenizer.json") == asked


def test_device() -> None:
    assert judge(DEVICE, MACHINE, Request()) == ()
    assert len(judge(DEVICE, MACHINE, Request(dtype="fp16"))) == 1
    assert "PJRT" in str(judge(evolve(DEVICE, device_type="xla"), MACHINE, Request())[0])


def test_every_reason_is_given_not_the_first_alone() -> None:
    reasons = judge(ATTENTION, MACHINE, Request(dtype="fp32", head_dim=100, window=5))
    assert len(reasons) == 3
    assert all(reason.fix for reason in reasons)


def test_on_a_described_machine_what_is_not_said_fits() -> None:
    spec = evolve(ATTENTION, needs=Needs(distributions=["no-such-thing>=4", "torch>=2.12"], modules=["no_such_module"]))
    assert judge(spec, Machine.described("sm_89,torch=2.12"), Request()) == ()
    assert len(judge(spec, Machine.described("sm_89,torch=2.11"), Request())) == 1
