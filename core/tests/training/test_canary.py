"""A drifting backend stops the run; a good one leaves every bit as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from nanoplug.conformance.kernel_right import Right as RightKernel
from nanoplug.contracts import Mask
from nanoplug.errors import NanoplugError
from nanoplug.model.gpt import GPT, GPTConfig
from nanoplug.training.canary import Canary, sampled_layers

CONFIG = GPTConfig(vocab_size=60, sequence_len=16, n_layer=3, n_head=2, n_kv_head=1, n_embd=16, window_pattern="SSL")


class Attention:
    """Plain attention in the dtype of q. From call `after` on, what `spoil` makes of the output."""

    def __init__(self, spoil: Callable[[Tensor], Tensor] = lambda x: x, after: int = 0) -> None:
        self.spoil, self.after, self.calls = spoil, after, 0

    def attend(self, q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, *, mask: Mask) -> Tensor:
        place = torch.arange(q_BTHD.shape[1])
        distance = place[:, None] - place
        seen = (distance >= 0) & ((distance <= mask.window) if mask.window >= 0 else torch.tensor(True))
        if mask.segments_BT is not None:
            seen = (seen & (mask.segments_BT[:, :, None] == mask.segments_BT[:, None]))[:, None]
        q, k, v = (x.transpose(1, 2) for x in (q_BTHD, k_BSGD, v_BSGD))
        output = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=seen, enable_gqa=True)
        self.calls += 1
        output = output.transpose(1, 2)
        return self.spoil(output) if self.calls > self.after else output


class Backward(torch.autograd.Function):
    """The value as it is, its gradient a little larger."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return slope * 1.05


def _model(attention: Any, kernel: Any, dtype: torch.dtype = torch.float32) -> GPT:
    with torch.device("meta"):
        model = GPT(CONFIG, attention=attention, kernel=kernel, compute_dtype=dtype)
    model = model.to_empty(device="cpu")
    model.init_weights(1)
    # At their first values these are zero, and so then is much that a canary must tell apart.
    with torch.no_grad():
        for block in model.blocks:
            block.attn.c_proj.weight.normal_(std=0.3, generator=torch.Generator().manual_seed(2))  # type: ignore[union-attr, operator]
    return model


def _batch(step: int, *, segments: bool = False) -> tuple[Tensor, Tensor, Tensor | None]:
    ids_BT = torch.randint(60, (4, 17), generator=torch.Generator().manual_seed(step))
    documents_BT = (torch.arange(16) // 6).expand(4, -1) if segments else None
    return ids_BT[:, :-1], ids_BT[:, 1:], documents_BT


def _train(
    steps: int,
    *,
    watched: int = 0,
    attention: Any = None,
    kernel: Any = None,
    dtype: torch.dtype = torch.float32,
    segments: bool = False,
) -> tuple[list[Tensor], list[str]]:
    """Losses and last weights of a short training by plain gradient descent, and what was said."""
    attention, kernel = attention or Attention(), kernel or RightKernel()
    model, said = _model(attention, kernel, dtype), []
    loss_of: Callable[..., Tensor] = model
    if watched:
        loss_of = Canary(
            model, attention=("a", attention), kernel=("k", kernel), steps=watched, accumulate=2, tell=said.append
        ).around(model)
    losses: list[Tensor] = []
    for micro in range(2 * steps):
        loss = loss_of(*_batch(micro, segments=segments))
        loss.backward()
        losses.append(loss.detach())
        if micro % 2:
            with torch.no_grad():
                for parameter in model.parameters():
                    if parameter.grad is not None:
                        parameter -= 0.1 * parameter.grad
            model.zero_grad()
    return [*losses, *(parameter.detach() for parameter in model.parameters())], said


@pytest.mark.parametrize("segments", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_good_training_is_left_bit_for_bit(dtype: torch.dtype, segments: bool) -> None:
    random = torch.get_rng_state()
    with_canary, said = _train(4, watched=2, dtype=dtype, segments=segments)
    assert torch.equal(torch.get_rng_state(), random)
    without, _ = _train(4, dtype=dtype, segments=segments)
    assert all(torch.equal(mine, other) for mine, other in zip(with_canary, without, strict=True))
    (line,) = said
    assert line.startswith("2 steps, layers 0, 2, no drift. attention a: layer ")
    assert "; kernel k: " in line


def test_only_the_first_steps_are_looked_at() -> None:
    plain, watched = Attention(), Attention()
    _train(4, attention=plain)
    _train(4, watched=2, attention=watched)
    assert watched.calls - plain.calls == 2 * 2 * CONFIG.n_layer


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "spoil",
    [lambda x: x * 1.05, lambda x: x.roll(1, 2) + 0.05, lambda x: x * torch.nan, Backward.apply],
    ids=["scaled", "heads mixed up", "nan", "backward"],
)
def test_a_drifting_attention_stops_the_run(spoil: Any, dtype: torch.dtype) -> None:
    with pytest.raises(NanoplugError, match=r"attention a drifts in watched step 0: layer 0 \w+ off by") as caught:
        _train(2, watched=2, attention=Attention(spoil), dtype=dtype)
    assert "nanoplug verify attention a" in caught.value.todo


def test_drift_that_begins_later_is_found_and_its_step_named() -> None:
    # Each micro-batch calls every layer twice: once watched, once in training.
    late = Attention(lambda x: x + 0.01, after=2 * 2 * CONFIG.n_layer)
    with pytest.raises(NanoplugError, match="watched step 1"):
        _train(3, watched=3, attention=late)
    _train(3, watched=1, attention=Attention(lambda x: x + 0.01, after=2 * 2 * CONFIG.n_layer))


def test_a_drifting_loss_stops_the_run() -> None:
    class Wrong(RightKernel):
        def linear_cross_entropy(self, *arguments: Any, **named: Any) -> Tensor:
            return super().linear_cross_entropy(*arguments, **named) * 1.01

    class WrongBackward(RightKernel):
        def linear_cross_entropy(self, *arguments: Any, **named: Any) -> Tensor:
            found: Tensor = Backward.apply(super().linear_cross_entropy(*arguments, **named))
            return found

    with pytest.raises(NanoplugError, match="kernel k drifts in watched step 0: loss off by"):
        _train(1, watched=1, kernel=Wrong())
    for dtype in (torch.float32, torch.bfloat16):
        with pytest.raises(NanoplugError, match="kernel k drifts in watched step 0: dhidden off by"):
            _train(1, watched=1, kernel=WrongBackward(), dtype=dtype)


def test_one_wrong_row_and_one_wrong_element_stop_the_run_in_bf16() -> None:
    def spoiled(place: Any, factor: float) -> RightKernel:
        class Spoil(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Tensor) -> Tensor:
                return x.clone()

            @staticmethod
            def backward(ctx: Any, slope: Tensor) -> Tensor:
                slope = slope.clone()
                slope[place] *= factor
                return slope

        class Wrong(RightKernel):
            def linear_cross_entropy(self, hidden_ND: Tensor, *arguments: Any, **named: Any) -> Tensor:
                return super().linear_cross_entropy(Spoil.apply(hidden_ND), *arguments, **named)

        return Wrong()

    for place, factor in ((slice(3, 4), 1.5), ((3, 2), -40.0)):
        with pytest.raises(NanoplugError, match="kernel k drifts in watched step 0: dhidden off by"):
            _train(1, watched=1, kernel=spoiled(place, factor), dtype=torch.bfloat16)


@pytest.mark.parametrize(
    ("windows", "sampled"),
    [([-1], {0}), ([8, 8, -1], {0, 2}), ([8, -1, 8, -1], {0, 1, 3}), ([4, 8, 16, -1], {0, 1, 2, 3})],
)
def test_sampled_layers(windows: list[int], sampled: set[int]) -> None:
    assert sampled_layers(windows) == sampled
