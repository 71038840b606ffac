from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import torch
import torch.utils.checkpoint
from torch import Tensor

from nanoplug.errors import ContractError
from nanoplug.model.gpt import GPT, GPTConfig

Make = Callable[..., GPT]
Rows = tuple[Tensor, Tensor]


def _checkpointed(function: Callable[..., Any], *args: Any) -> Any:
    return torch.utils.checkpoint.checkpoint(function, *args, use_reentrant=False, preserve_rng_state=False)


def _gradients(model: GPT) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def _plain_hidden(model: GPT, ids_BT: Tensor) -> Tensor:
    """The forward once more in fp64, one head and one position at a time, from the parameters alone."""
    config, w = model.config, {name: p.detach().double() for name, p in model.named_parameters()}
    d = config.head_dim
    frequency_E = 10_000.0 ** -(torch.arange(0, d, 2).double() / d)

    def norm(x: Tensor) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + 2.0**-23).sqrt()

    def turned(x_D: Tensor, position: int) -> Tensor:
        cos, sin, x1, x2 = (
            *((position * frequency_E).cos(), (position * frequency_E).sin()),
            x_D[: d // 2],
            x_D[d // 2 :],
        )
        return norm(torch.cat([x1 * cos + x2 * sin, x2 * cos - x1 * sin]))

    rows = []
    for ids_T in ids_BT:
        x0_TC = x_TC = norm(w["wte.weight"][ids_T])
        for i, window in enumerate(config.windows()):
            x_TC = w["resid_lambdas"][i] * x_TC + w["x0_lambdas"][i] * x0_TC
            q, k, v = (norm(x_TC) @ w[f"blocks.{i}.attn.{name}.weight"].T for name in ("c_q", "c_k", "c_v"))
            heads = []
            for head in range(config.n_head):
                here = slice(head * d, head * d + d)
                group = head // (config.n_head // config.n_kv_head)
                there = slice(group * d, group * d + d)
                outputs = []
                for t in range(len(ids_T)):
                    seen = range(0 if window < 0 else max(0, t - window), t + 1)
                    scores = torch.stack([turned(q[t, here], t) @ turned(k[s, there], s) / d**0.5 for s in seen])
                    outputs.append(scores.softmax(0) @ v[list(seen), there])
                heads.append(torch.stack(outputs))
            x_TC = x_TC + torch.cat(heads, -1) @ w[f"blocks.{i}.attn.c_proj.weight"].T
            z = (norm(x_TC) @ w[f"blocks.{i}.mlp.c_fc.weight"].T).clamp_min(0) ** 2
            x_TC = x_TC + z @ w[f"blocks.{i}.mlp.c_proj.weight"].T
        rows.append(norm(x_TC))
    return torch.stack(rows)


def test_logits_and_losses_follow_the_description(small: GPTConfig, make_gpt: Make, rows: Rows) -> None:
    model = make_gpt(small)
    ids, targets = rows[0][:1], rows[1][:1]
    z = _plain_hidden(model, ids) @ model.lm_head.weight.detach().double().T
    padded = 15 * (z / 15).tanh()
    capped = padded[..., :50]
    torch.testing.assert_close(model.logits(ids).double(), capped, rtol=0, atol=2e-5)
    for mode, logits in (("train", padded), ("eval", capped)):
        expected = torch.nn.functional.cross_entropy(logits[0], targets[0], ignore_index=-1, reduction="none")
        getattr(model, mode)()
        torch.testing.assert_close(model(ids, targets, reduction="none")[0].double(), expected, rtol=0, atol=2e-5)
        mean = model(ids, targets)
        assert mean.item() == pytest.approx(expected.sum().item() / 15, abs=2e-5)
        assert model(ids, targets, reduction="sum").item() == pytest.approx(expected.sum().item(), abs=2e-4)


def test_first_loss_is_that_of_a_guess(small: GPTConfig, make_gpt: Make, rows: Rows) -> None:
    model = make_gpt(attrs.evolve(small, n_embd=256), random=False)
    assert model(*rows).item() == pytest.approx(math.log(64), abs=0.05)
    assert model.eval()(*rows).item() == pytest.approx(math.log(50), abs=0.05)


def test_evaluation_does_not_see_padded_rows(small: GPTConfig, make_gpt: Make, rows: Rows) -> None:
    model = make_gpt(small)
    unpadded = make_gpt(attrs.evolve(small, vocab_multiple=1))
    unpadded.load_state_dict(
        {n: p[:50] if p.shape[0] == 64 and "blocks" not in n else p for n, p in model.state_dict().items()}
    )
    torch.testing.assert_close(model.eval()(*rows), unpadded(*rows), rtol=0, atol=1e-6)
    with torch.no_grad():
        model.lm_head.weight[50:] += 10
    torch.testing.assert_close(model(*rows), unpadded(*rows), rtol=0, atol=1e-6)
    assert abs(model.train()(*rows) - unpadded(*rows)) > 0.01


def test_shapes_and_dtypes(small: GPTConfig, make_gpt: Make, rows: Rows) -> None:
    model = make_gpt(small, compute_dtype=torch.bfloat16)
    ids, targets = rows
    assert model(ids, targets).shape == ()
    assert model(ids, targets, reduction="none").shape == (2, 16)
    assert model.logits(ids).shape == (2, 16, 50)
    assert model.logits(ids, last_only=True).shape == (2, 1, 50)
    torch.testing.assert_close(model.logits(ids, last_only=True), model.logits(ids)[:, -1:])
    assert model.logits(ids).dtype == model(ids, targets).dtype == torch.float32
    model(ids, targets).backward()
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert {g.dtype for g in _gradients(model).values()} == {torch.float32}
    assert len(_gradients(model)) == len(list(model.parameters()))


def test_bf16_computes_the_same_within_its_precision(small: GPTConfig, make_gpt: Make, rows: Rows) -> None:
    exact, coarse = make_gpt(small).logits(rows[0]), make_gpt(small, compute_dtype=torch.bfloat16).logits(rows[0])
    assert 0 < (exact - coarse).abs().max() < 0.15


def test_weights_converted_for_inference_give_the_same_bits(small: GPTConfig, make_gpt: Make, rows: Rows) -> None:
    model = make_gpt(small, compute_dtype=torch.bfloat16).eval()
    expected = model.logits(rows[0]), model(*rows)
    model.to(torch.bfloat16)
    assert torch.equal(model.logits(rows[0]), expected[0])
    assert torch.equal(model(*rows), expected[1])


def test_softcap_is_applied_in_fp32(small: GPTConfig, make_gpt: Make, rows: Rows) -> None:
    model = make_gpt(small, compute_dtype=torch.bfloat16)
    with torch.no_grad():
        model.lm_head.weight.mul_(20)
    uncapped = make_gpt(attrs.evolve(small, softcap=None), compute_dtype=torch.bfloat16)
    uncapped.load_state_dict(model.state_dict())
    z = uncapped.logits(rows[0])
    capped = model.logits(rows[0])
    torch.testing.assert_close(capped, 15 * torch.tanh(z / 15))
    assert capped.abs().max() <= 15
    assert not torch.equal(capped, capped.bfloat16().float())


def test_window_limits_what_a_token_sees(small: GPTConfig, make_gpt: Make, rows: Rows) -> None:
    """With windows of 8 in all layers but the last, and the last blind, 2 layers reach 16 tokens back, 1 layer 8."""
    for layers, reach in ((2, 8), (3, 16)):
        config = attrs.evolve(small, n_layer=layers, window_pattern="S")
        model = make_gpt(config)
        with torch.no_grad():
            model.blocks[-1].attn.c_proj.weight.zero_()  # type: ignore[union-attr, operator]
        ids = torch.randint(0, 50, (1, 20), generator=torch.Generator().manual_seed(1))
        changed = ids.clone()
        changed[0, 1] = (ids[0, 1] + 1) % 50
        moved = (model.logits(ids) - model.logits(changed)).abs().amax(-1)[0]
        assert moved[:1].max() == 0
        assert (moved[1 : 1 + reach + 1] > 0).all()
        assert moved[1 + reach + 1 :].sum() == 0


def test_segments_make_documents_independent(small: GPTConfig, make_gpt: Make, rows: Rows) -> None:
    model = make_gpt(small).eval()
    ids, targets = rows
    segments = (torch.arange(16) >= 6).long().expand(2, 16)
    apart = model(ids, targets, segments, reduction="none")
    alone = model(ids[:, 6:], targets[:, 6:], reduction="none")
    torch.testing.assert_close(apart[:, 6:], alone, rtol=0, atol=2e-5)  # rotation sees differences of positions only
    assert (model(ids, targets, reduction="none")[:, 6:] - alone).abs().max() > 0.01


def test_too_long_rows_are_refused(small: GPTConfig, make_gpt: Make) -> None:
    ids = torch.zeros(1, 17, dtype=torch.int64)
    with pytest.raises(ContractError, match="17 tokens; the model was built for at most 16"):
        make_gpt(small)(ids, ids)


def test_cached_logits_equal_uncached(small: GPTConfig, make_gpt: Make, make_cache: Any) -> None:
    model = make_gpt(small)
    ids = torch.randint(0, 50, (2, 24), generator=torch.Generator().manual_seed(1))  # beyond the training context
    expected = model.logits(ids)
    cache = make_cache(small, [0, 0], 24)
    parts = [model.logits(part, cache=cache) for part in ids.split([7, 1, 1, 4, 11], dim=1)]
    torch.testing.assert_close(torch.cat(parts, 1), expected, rtol=0, atol=2e-5)
    assert cache.longest == 24


def test_cached_rows_may_have_different_lengths(small: GPTConfig, make_gpt: Make, make_cache: Any) -> None:
    model = make_gpt(small)
    ids = torch.randint(0, 50, (2, 12), generator=torch.Generator().manual_seed(1))
    cache = make_cache(small, [0, 0], 16)
    model.logits(ids[:, :9], cache=cache)
    cache.lengths_B.copy_(torch.tensor([9, 4]))  # forget five tokens of the second row
    step = torch.stack([ids[0, 9:12], ids[1, 4:7]])
    logits = model.logits(step, cache=cache)
    expected = torch.stack([model.logits(ids[:1])[0, 9:12], model.logits(ids[1:, :7])[0, 4:7]])
    torch.testing.assert_close(logits, expected, rtol=0, atol=2e-5)


def test_a_full_cache_is_an_error_before_any_write(small: GPTConfig, make_gpt: Make, make_cache: Any) -> None:
    model, cache = make_gpt(small), make_cache(small, [3, 0], 4)
    with pytest.raises(ContractError, match="holds 3 tokens and 2 are new; its capacity is 4"):
        model.logits(torch.zeros(2, 2, dtype=torch.int64), cache=cache)
    assert cache.k.abs().sum() == 0
    assert cache.lengths_B.tolist() == [3, 0]


def test_decode_attention_serves_the_cache_alone(
    small: GPTConfig, make_gpt: Make, make_cache: Any, attention: Any
) -> None:
    class Counting(type(attention)):  # type: ignore[misc]
        calls = 0

        def attend_cached(self, *args: Any, **kwargs: Any) -> Any:
            Counting.calls += 1
            return super().attend_cached(*args, **kwargs)

        def attend(self, *args: Any, **kwargs: Any) -> Any:
            raise AssertionError("the training attention serves whole rows")

    model = make_gpt(small, decode_attention=Counting())
    ids = torch.zeros(1, 4, dtype=torch.int64)
    model.logits(ids)
    assert Counting.calls == 0
    model.logits(ids, cache=make_cache(small, [0], 4))
    assert Counting.calls == small.n_layer


def test_recomputed_blocks_give_the_same_gradients(small: GPTConfig, make_gpt: Make, rows: Rows) -> None:
    calls = 0

    def counted(function: Callable[..., Any], *args: Any) -> Any:
        nonlocal calls
        calls += 1
        return _checkpointed(function, *args)

    plain, recomputed = make_gpt(small), make_gpt(small, checkpointed=counted)
    for model in (plain, recomputed):
        model(*rows).backward()
    assert calls == small.n_layer
    assert _gradients(plain).keys() == _gradients(recomputed).keys()
    assert all(torch.equal(grad, _gradients(recomputed)[name]) for name, grad in _gradients(plain).items())
    recomputed.eval()(*rows)
    assert calls == small.n_layer


@pytest.mark.parametrize("checkpointed, dtype", [(None, torch.bfloat16), (_checkpointed, torch.float32)])
def test_one_graph_without_a_break(
    checkpointed: Any, dtype: torch.dtype, small: GPTConfig, make_gpt: Make, rows: Rows
) -> None:
    torch.compiler.reset()
    model = make_gpt(small, checkpointed=checkpointed, compute_dtype=dtype)
    segments = torch.arange(16).div(5, rounding_mode="floor").expand(2, 16)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager", dynamic=False)
    for arguments in (rows, (*rows, segments)):
        results = []
        for function in (model, compiled):
            model.zero_grad()
            loss = function(*arguments)
            loss.backward()
            results.append((loss.detach(), _gradients(model)))
        (loss, gradients), (compiled_loss, compiled_gradients) = results
        tolerance = 1e-6 if dtype == torch.float32 else 1e-2
        torch.testing.assert_close(compiled_loss, loss, rtol=0, atol=tolerance)
        for name, gradient in gradients.items():
            torch.testing.assert_close(compiled_gradients[name], gradient, rtol=0, atol=tolerance, msg=name)


def test_generation_between_steps_does_not_recompile_training(small: GPTConfig, make_gpt: Make, rows: Rows) -> None:
    torch.compiler.reset()
    model = make_gpt(small)
    compiled = torch.compile(model, fullgraph=True, backend="eager", dynamic=False)
    loss = compiled(*rows)
    model.logits(torch.zeros(1, 40, dtype=torch.int64))
    with torch._dynamo.config.patch(error_on_recompile=True):
        assert torch.equal(compiled(*rows), loss)


def test_initial_weights(make_gpt: Make) -> None:
    model = make_gpt(GPTConfig(vocab_size=500, n_layer=2, n_embd=192, n_head=2, n_kv_head=1), random=False)
    bound = math.sqrt(3 / 192)
    assert model.wte.weight.std().item() == pytest.approx(1, rel=0.02)
    assert model.lm_head.weight.std().item() == pytest.approx(0.001, rel=0.02)
    assert abs(model.wte.weight.mean().item()) < 0.02
    assert torch.equal(model.resid_lambdas, torch.ones(2))
    assert torch.equal(model.x0_lambdas, torch.zeros(2))
    weights = dict(model.named_parameters())
    for layer in range(2):
        for name in ("attn.c_q", "attn.c_k", "attn.c_v", "mlp.c_fc"):
            weight = weights[f"blocks.{layer}.{name}.weight"]
            assert 0.98 * bound < weight.abs().max() <= bound
            assert weight.std().item() == pytest.approx(192**-0.5, rel=0.03)
        for name in ("attn.c_proj", "mlp.c_proj"):
            assert weights[f"blocks.{layer}.{name}.weight"].abs().sum() == 0
    assert not torch.equal(weights["blocks.0.attn.c_q.weight"], weights["blocks.1.attn.c_q.weight"])


def test_seed_decides_initial_weights_and_nothing_else_does(small: GPTConfig, make_gpt: Make) -> None:
    torch.manual_seed(5)
    first = make_gpt(small, random=False, seed=1)
    state = torch.get_rng_state()
    again, other = make_gpt(small, random=False, seed=1), make_gpt(small, random=False, seed=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.wte.weight, other.wte.weight)


def test_meta_build_equals_direct_build(
    small: GPTConfig, make_gpt: Make, attention: Any, kernel: Any, rows: Rows
) -> None:
    direct = make_gpt(small, random=False, seed=7)
    with torch.device("meta"):
        model = GPT(small, attention=attention, kernel=kernel)
    assert all(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    with pytest.raises(ContractError, match="to_empty"):
        model.init_weights(7)
    model.to_empty(device="cpu")
    model.init_weights(7)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), direct.parameters(), strict=True))
    assert torch.equal(model(*rows), direct(*rows))
    assert torch.equal(model.logits(rows[0].repeat(1, 3)), direct.logits(rows[0].repeat(1, 3)))
