"""What a backend declares is held against what a step launches and holds."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from nanoplug.contracts import Device, Mask
from nanoplug.errors import NanoplugError
from nanoplug.registry.piece import capabilities
from nanoplug.spec import AttentionSpec
from nanoplug.training.audit import (
    Claim,
    check_attention_memory,
    check_launches,
    check_loss_memory,
    claim_of,
    launched_names,
    training_step,
)

CPU = cast(
    Device,
    SimpleNamespace(
        type="cpu",
        torch_device=torch.device("cpu"),
        put=torch.clone,
        step=contextlib.nullcontext,
        synchronize=lambda: None,
    ),
)


def _claim(*launches: str, memory: str = "quadratic", max_tokens: int | None = None) -> Claim:
    return Claim(site="attention.train", name="a", launches={"cpu": launches}, memory=memory, max_tokens=max_tokens)


class Fused:
    """Linear in T."""

    def attend(self, q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, *, mask: Mask) -> Tensor:
        q, k, v = (x.transpose(1, 2) for x in (q_BTHD, k_BSGD, v_BSGD))
        return scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)


class Plain:
    """Holds all scores."""

    def attend(self, q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, *, mask: Mask) -> Tensor:
        scores = torch.einsum("bthd,bshd->bhts", q_BTHD, k_BSGD)
        return torch.einsum("bhts,bshd->bthd", scores.softmax(-1), v_BSGD)


class Model(torch.nn.Module):
    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.attention, self.weight, self.seen = attention, torch.nn.Parameter(torch.randn(30, 8)), cast(Any, [])

    def forward(self, inputs_BT: Tensor, targets_BT: Tensor, segments_BT: Tensor | None) -> Tensor:
        self.seen.append((inputs_BT, targets_BT, segments_BT))
        x = self.weight[inputs_BT].unflatten(-1, (2, 4))
        loss: Tensor = self.attention.attend(x, x, x, mask=Mask()).sum()
        return loss


def _names(attention: Any) -> frozenset[str]:
    model = Model(attention)
    size: dict[str, Any] = {"batch_size": 2, "tokens": 16, "vocabulary": 30, "segments": False}
    return launched_names(training_step(model, model.parameters(), device=CPU, **size), CPU)


def test_what_launched_is_found_by_name() -> None:
    names = _names(Fused())
    assert check_launches(_claim(r"aten::_?scaled_dot_product", r"flash"), names, "cpu").startswith("a launched aten::")


def test_a_claim_that_does_not_launch_stops_the_run() -> None:
    names = _names(Plain())
    with pytest.raises(NanoplugError, match=r"attention\.train 'a' claims to launch aten::scaled_dot") as caught:
        check_launches(_claim("softmax", "aten::scaled_dot"), names, "cpu")
    assert "softmax" in caught.value.details[0]


def test_one_that_declares_nothing_cannot_be_audited_and_that_is_said() -> None:
    assert "cannot be audited" in check_launches(_claim(), frozenset({"x"}), "cpu")
    assert "cannot be audited" in check_launches(_claim("x"), frozenset({"x"}), "cuda")


def test_the_step_leaves_no_gradient_and_no_random_state() -> None:
    model = Model(Fused())
    random = torch.get_rng_state()
    size: dict[str, Any] = {"batch_size": 2, "tokens": 16, "vocabulary": 30, "segments": True}
    training_step(model, model.parameters(), device=CPU, **size)()
    assert model.weight.grad is None
    assert torch.equal(random, torch.get_rng_state())
    inputs_BT, targets_BT, segments_BT = model.seen[-1]
    assert inputs_BT.shape == targets_BT.shape == segments_BT.shape == (2, 16)
    assert torch.equal(inputs_BT[:, 1:], targets_BT[:, :-1])
    assert len(segments_BT.unique()) > 1


def _attention_memory(claim: Claim, attention: Any) -> str:
    return check_attention_memory(
        claim, attention, device=CPU, dtype=torch.float32, heads=4, groups=4, head_dim=16, window=-1
    )


@pytest.mark.parametrize("memory", ["linear", "chunk", "quadratic"])
def test_attention_within_its_class(memory: str) -> None:
    assert f"from T 1,024 to 2,048, declared {memory}" in _attention_memory(_claim(memory=memory), Fused())


def test_attention_outside_its_class_stops_the_run() -> None:
    assert "declared quadratic" in _attention_memory(_claim(memory="quadratic"), Plain())
    for memory in ("linear", "chunk"):
        with pytest.raises(
            NanoplugError, match=rf"memory x (3|4)\.\d\d from T .* declared {memory}; at most x 2.83 is allowed"
        ):
            _attention_memory(_claim(memory=memory), Plain())


def test_attention_is_not_asked_for_more_tokens_than_it_serves() -> None:
    assert "from T 64 to 128" in _attention_memory(_claim(memory="linear", max_tokens=128), Fused())


class Loss:
    """Rows of logits in chunks of `rows`, each computed again in backward."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def linear_cross_entropy(self, hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, *, softcap: Any) -> Tensor:
        from torch.utils.checkpoint import checkpoint

        def part(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
            return torch.nn.functional.cross_entropy(hidden @ weight.T, targets, reduction="sum")

        total = torch.zeros(())
        for start in range(0, len(hidden_ND), self.rows):
            rows = slice(start, start + self.rows)
            total = total + checkpoint(part, hidden_ND[rows], weight_VD, targets_N[rows], use_reentrant=False)
        return total / len(hidden_ND)


def _loss_memory(memory: str, rows: int) -> str:
    return check_loss_memory(
        _claim(memory=memory),
        cast(Any, Loss(rows)),
        device=CPU,
        dtype=torch.float32,
        width=16,
        vocabulary=256,
        softcap=None,
    )


@pytest.mark.parametrize(("memory", "rows"), [("logits", 2**20), ("logits", 512), ("chunk", 1024), ("tile", 64)])
def test_a_loss_within_its_class(memory: str, rows: int) -> None:
    assert f"of the logits at N 16,384, x {'2' if rows == 2**20 else ''}" in _loss_memory(memory, rows)


@pytest.mark.parametrize("memory", ["chunk", "tile"])
def test_a_loss_outside_its_class_stops_the_run(memory: str) -> None:
    with pytest.raises(NanoplugError, match=rf"declared {memory}; at most 0\.\d+ of them is allowed"):
        _loss_memory(memory, 2**20)


def test_claims_come_from_what_a_spec_declares() -> None:
    spec = AttentionSpec(name="a", summary="", load="m:o", memory="linear", max_tokens=9, launches={"cpu": "x"})
    assert claim_of("attention.train", "a", capabilities(spec)) == Claim(
        site="attention.train", name="a", launches={"cpu": ["x"]}, memory="linear", max_tokens=9
    )


def test_one_that_cannot_even_be_measured_stops_the_run() -> None:
    class Full:
        def linear_cross_entropy(self, *_: Any, **__: Any) -> Tensor:
            raise torch.OutOfMemoryError("tried to allocate 64 GiB")

    with pytest.raises(NanoplugError, match="out of memory, declared tile"):
        check_loss_memory(
            _claim(memory="tile"),
            cast(Any, Full()),
            device=CPU,
            dtype=torch.float32,
            width=16,
            vocabulary=256,
            softcap=None,
        )
