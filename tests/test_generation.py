"""Generation with real backends: the engine, an attention with a cache, kernels, and a trained tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import nanoplug
from nanoplug.inference.completion import complete_text
from nanoplug.inference.detokenize import Detokenizer
from nanoplug.inference.engine import Engine
from nanoplug.model.gpt import GPT, GPTConfig
from nanoplug.model.naive_generate import generate_naive

TEXT = Path(__file__).read_text(encoding="utf-8") + "größe → 🙂 std::vector<int> v{1, 2};\n\treturn v[0];\n"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return nanoplug.load("tokenizer", "bpe").train([TEXT] * 3, vocab_size=400)


@pytest.fixture(scope="module")
def engine(tokenizer: Any) -> Engine:
    config = GPTConfig(
        vocab_size=tokenizer.vocab_size,
        sequence_len=32,
        n_layer=3,
        n_head=4,
        n_kv_head=2,
        n_embd=64,
        window_pattern="SL",
    )
    model = GPT(config, attention=nanoplug.load("attention", "sdpa"), kernel=nanoplug.load("kernel", "torch"))
    model.init_weights(1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
        # Stop tokens never win, so that every row runs its full length.
        model.lm_head.weight[sorted(tokenizer.special.values())] = 0.0
    return Engine(model, tokenizer, device=nanoplug.load("device", "cpu"))


def prompts(engine: Engine) -> list[list[int]]:
    return [engine.encode_prompt(text) for text in ("int f() { return 1", "x", "std::vector<int> values{1, 2, 3, 4};")]


def test_greedy_is_exactly_generation_without_a_cache(engine: Engine) -> None:
    for prompt in prompts(engine):
        cached = [tokens[0] for tokens, _ in engine.generate(prompt, max_tokens=64, temperature=0.0)]
        assert cached == list(generate_naive(engine.model, prompt, 64, temperature=0.0))
        assert len(set(cached)) > 2


def test_prompts_of_different_lengths_together_equal_each_alone(engine: Engine) -> None:
    together, _ = engine.generate_batch(prompts(engine), max_tokens=24, temperature=0.0)
    alone = [engine.generate_batch([prompt], max_tokens=24, temperature=0.0)[0][0] for prompt in prompts(engine)]
    assert together == alone


def test_logits_of_uneven_rows_equal_those_without_a_cache(engine: Engine) -> None:
    from nanoplug.inference.kv_cache import KVCache

    config, model = engine.model.config, engine.model
    size = (config.n_kv_head, config.n_embd // config.n_head, torch.float32, "cpu")
    with torch.no_grad():
        caches = [KVCache(config.n_layer, 1, 40, *size) for _ in prompts(engine)]
        for prompt, cache in zip(prompts(engine), caches, strict=True):
            model.logits(torch.tensor([prompt]), cache=cache)
        merged = KVCache(config.n_layer, 3, 64, *size)
        merged.prefill(*caches)
        for step in range(3):
            cached_B1V = model.logits(torch.full((3, 1), 5 + step), cache=merged)
            for row, prompt in enumerate(prompts(engine)):
                whole = torch.tensor([[*prompt, *range(5, 6 + step)]])
                torch.testing.assert_close(
                    cached_B1V[row, 0], model.logits(whole, last_only=True)[0, 0], atol=2e-5, rtol=0
                )


def test_text_comes_out_as_the_tokenizer_decodes_it(engine: Engine, tokenizer: Any) -> None:
    detokenizer = Detokenizer(tokenizer)
    pieces = [detokenizer.push(token) for token in tokenizer.encode(TEXT)]
    assert "".join(pieces) + detokenizer.finish() == TEXT
    assert "\ufffd" not in "".join(pieces)
    (text,) = complete_text(engine, "int f", max_tokens=20, temperature=0.0)
    ids = [tokens[0] for tokens, _ in engine.generate(engine.encode_prompt("int f"), max_tokens=20, temperature=0.0)]
    assert text == tokenizer.decode(ids)
