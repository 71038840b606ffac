from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from nanoplug.errors import ContractError
from nanoplug.inference.engine import Engine
from nanoplug.model.naive_generate import generate_naive

PROMPTS = ([256, 5, 6, 7, 8, 9, 10, 11], [256, 40], [256, 3, 3, 3, 200])

MakeEngine = Callable[..., Engine]


def columns(engine: Engine, prompt: Any, **options: Any) -> list[list[int]]:
    return [tokens for tokens, _ in engine.generate(prompt, **options)]


def row(engine: Engine, prompt: Any, index: int = 0, **options: Any) -> list[int]:
    return [tokens[index] for tokens in columns(engine, prompt, **options)]


def test_greedy_equals_generation_without_a_cache(make_engine: MakeEngine) -> None:
    engine = make_engine()
    for prompt in PROMPTS:
        naive = list(generate_naive(engine.model, prompt, 64, temperature=0.0))
        assert len(set(naive)) > 3
        assert row(engine, prompt, max_tokens=64, temperature=0.0) == naive


def test_a_batch_of_different_lengths_equals_each_alone(make_engine: MakeEngine) -> None:
    engine = make_engine()
    drawn: tuple[dict[str, Any], ...] = ({"temperature": 0.0}, {"temperature": 0.9, "top_k": 20})
    for options in drawn:
        sequences, masks = engine.generate_batch(PROMPTS, max_tokens=20, seed=7, **options)
        for index, prompt in enumerate(PROMPTS):
            alone = row(engine, prompt, max_tokens=20, seed=7 + index, **options)
            assert sequences[index] == prompt + alone
            assert masks[index] == [0] * len(prompt) + [1] * 20


def test_without_max_tokens_each_row_fills_its_own_cache(make_engine: MakeEngine) -> None:
    engine = make_engine(sequence_len=12)
    sequences, _ = engine.generate_batch(PROMPTS, temperature=0.0)
    # 12 tokens are held; the one after the last of them is still known.
    assert [len(sequence) for sequence in sequences] == [13, 13, 13]
    for sequence, prompt in zip(sequences, PROMPTS, strict=True):
        assert sequence == prompt + row(engine, prompt, temperature=0.0)
    assert len(columns(engine, [1] * 12)) == 1


def test_samples_are_independent_and_the_seed_decides(make_engine: MakeEngine) -> None:
    engine = make_engine()
    four = columns(engine, PROMPTS[0], num_samples=4, max_tokens=12, seed=3)
    assert four == columns(engine, PROMPTS[0], num_samples=4, max_tokens=12, seed=3)
    assert four != columns(engine, PROMPTS[0], num_samples=4, max_tokens=12, seed=99)
    rows = [[column[index] for column in four] for index in range(4)]
    assert len({tuple(each) for each in rows}) == 4
    assert len({each[0] for each in rows}) > 1
    for index in range(4):
        assert rows[index] == row(engine, PROMPTS[0], max_tokens=12, seed=3 + index)


def test_the_global_random_state_is_neither_read_nor_changed(make_engine: MakeEngine) -> None:
    engine = make_engine()
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = columns(engine, PROMPTS[0], max_tokens=5)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(1)
    assert columns(engine, PROMPTS[0], max_tokens=5) == first


def force(engine: Engine, script: list[list[int]]) -> None:
    """Make each sampled column what the script says, whatever the weights."""
    script = list(script)
    plain = engine.model.logits

    def logits(tokens_BT: Any, **options: Any) -> torch.Tensor:
        values = plain(tokens_BT, **options)
        wanted = script.pop(0)
        values[torch.arange(len(wanted)), -1, torch.tensor(wanted)] = 1e4
        return values

    engine.model.logits = logits  # type: ignore[method-assign]


def test_ended_rows_emit_pads_and_the_last_ending_ends_all(make_engine: MakeEngine) -> None:
    engine = make_engine(never=())
    force(engine, [[1], [256, 2, 3], [9, 257, 9], [9, 9, 9]])
    prompts = [[256, 1, 2], [256, 5], [256, 7, 7, 7]]
    steps = list(engine.generate([256, 1], num_samples=3, max_tokens=4, temperature=0.0))
    assert steps[0] == ([1, 1, 1], [1, 1, 1])
    assert steps[1] == ([256, 2, 3], [1, 1, 1])
    assert steps[2] == ([engine.pad_id, 257, 9], [0, 1, 1])
    assert steps[3] == ([engine.pad_id, engine.pad_id, 9], [0, 0, 1])
    assert len(steps) == 4

    engine = make_engine(never=())
    force(engine, [[1], [2], [256], [3, 257, 256], [256, 8, 8]])
    sequences, masks = engine.generate_batch(prompts, max_tokens=50, temperature=0.0)
    assert sequences == [[*prompts[0], 1, 3], [*prompts[1], 2], prompts[2]]
    assert masks == [[0, 0, 0, 1, 1], [0, 0, 1], [0, 0, 0, 0]]


def test_one_forward_for_the_prompt_and_none_after_the_last_token(make_engine: MakeEngine) -> None:
    engine = make_engine()
    attention: Any = engine.model.blocks[0].attn
    calls = attention.decode_attention.calls
    layers = engine.model.config.n_layer
    columns(engine, PROMPTS[0], num_samples=3, max_tokens=4)
    assert calls == [(1, len(PROMPTS[0]))] * layers + [(3, 1)] * (3 * layers)
    calls.clear()
    next(engine.generate(PROMPTS[0], num_samples=3, max_tokens=4))
    assert calls == [(1, len(PROMPTS[0]))] * layers


def test_the_model_comes_back_in_its_mode_and_gathers_no_gradient(make_engine: MakeEngine) -> None:
    engine = make_engine()
    engine.model.train()
    steps = engine.generate(PROMPTS[0], max_tokens=100)
    for _ in range(70):  # beyond the position tables, which grow
        next(steps)
    assert engine.model.training
    assert torch.is_grad_enabled()
    engine.model.logits(torch.tensor([[1, 2]])).sum().backward()


def test_stop_tokens_are_what_the_tokenizer_has(make_engine: MakeEngine) -> None:
    engine = make_engine()
    assert engine.stop_ids == {256, 257}
    assert engine.encode_prompt("ab") == [256, 97, 98]


@pytest.mark.parametrize(
    ("prompt", "options", "says"),
    [
        ([], {}, "prompt is empty"),
        ([1, 258], {}, "258"),
        ([-1], {}, "-1"),
        ([1] * 33, {}, "33 tokens"),
        ([1], {"max_tokens": 0}, "max_tokens is 0"),
        ([1], {"temperature": -0.1}, "temperature"),
        ([1], {"top_k": -1}, "top_k"),
        ([1], {"num_samples": 0}, "num_samples"),
    ],
)
def test_bad_calls_are_refused_before_anything_runs(
    make_engine: MakeEngine, prompt: list[int], options: dict[str, Any], says: str
) -> None:
    engine = make_engine()
    with pytest.raises(ContractError, match=says):
        engine.generate(prompt, **options)
    if "num_samples" not in options:
        with pytest.raises(ContractError, match=says):
            engine.generate_batch([[1], prompt], **options)


def test_a_tokenizer_without_a_beginning_is_refused(make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make_engine()
    monkeypatch.setattr(engine.tokenizer, "special", {})
    with pytest.raises(ContractError, match="begin a document"):
        engine.encode_prompt("a")


def test_no_prompts_give_nothing(make_engine: MakeEngine) -> None:
    assert make_engine().generate_batch([]) == ([], [])
