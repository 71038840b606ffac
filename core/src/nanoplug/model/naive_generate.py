"""Generation without a cache: one whole forward for every token. Slow, and the reference for the engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from nanoplug.errors import ContractError
from nanoplug.model.gpt import GPT


def generate_naive(
    model: GPT,
    ids: Sequence[int],
    max_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: int = 42,
) -> Iterator[int]:
    """Yield `max_tokens` ids that follow `ids`, one at a time.

    temperature 0 takes the best id; otherwise ids are drawn from softmax(logits / temperature), among those not
    below the `top_k`-th best if it is given (ties at that threshold stay). Raises ContractError on bad arguments.
    """
    if not ids:
        raise ContractError("generate_naive: no ids given; it needs at least one to start from.")
    if temperature < 0:
        raise ContractError(f"generate_naive: temperature is {temperature}; it must be at least 0.")
    if top_k is not None and top_k < 1:
        raise ContractError(f"generate_naive: top_k is {top_k}; it must be at least 1, or None.")
    return _generate(model, ids, max_tokens, temperature, top_k, seed)


def _generate(
    model: GPT, ids: Sequence[int], max_tokens: int, temperature: float, top_k: int | None, seed: int
) -> Iterator[int]:
    generator = torch.Generator("cpu").manual_seed(seed)
    tokens_BT = torch.tensor([list(ids)], dtype=torch.int64, device=model.wte.weight.device)
    for _ in range(max_tokens):
        with torch.no_grad():
            logits_V = model.logits(tokens_BT, last_only=True)[0, 0].cpu()
        chosen = _choose(logits_V, temperature, top_k, generator)
        yield chosen
        tokens_BT = torch.cat([tokens_BT, tokens_BT.new_tensor([[chosen]])], dim=1)


def _choose(logits_V: Tensor, temperature: float, top_k: int | None, generator: torch.Generator) -> int:
    if temperature == 0:
        return int(logits_V.argmax())
    if top_k is not None:
        threshold = logits_V.topk(min(top_k, len(logits_V))).values[-1]
        logits_V = logits_V.masked_fill(logits_V < threshold, float("-inf"))
    return int(torch.multinomial(torch.softmax(logits_V / temperature, dim=-1), 1, generator=generator))
