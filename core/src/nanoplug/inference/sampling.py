"""How the next token is chosen from logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nanoplug.errors import ContractError


def check_sampling(temperature: float, top_k: int | None) -> None:
    """Raise ContractError unless temperature >= 0 and top_k is None, 0 (off) or positive."""
    if not temperature >= 0:
        raise ContractError(f"sampling: temperature is {temperature}; it must be 0 (most likely token) or positive.")
    if top_k is not None and top_k < 0:
        raise ContractError(f"sampling: top_k is {top_k}; it must be positive, or 0 or None for the whole vocabulary.")


def sample(
    logits_BV: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    generators: Sequence[torch.Generator] = (),
) -> Tensor:
    """int64 (B,): one token a row, computed in fp32, without a host synchronisation.

    temperature 0 takes the most likely token. Otherwise exactly min(top_k, V) best logits are kept (all of
    them for None or 0), divided by temperature, and one is drawn from their softmax with the row's own
    generator, so that a row's draw depends on no other row.

    The draw is argmax(p / e) with e ~ Exp(1), which picks i with probability p_i (exponential race; it is how
    `torch.multinomial` draws one sample, less its check on the host).
    """
    check_sampling(temperature, top_k)
    logits_BV = logits_BV.float()
    if temperature == 0:
        return logits_BV.argmax(dim=-1)
    if len(generators) != logits_BV.shape[0]:
        raise ContractError(f"sampling: {len(generators)} generators for {logits_BV.shape[0]} rows; one for each row.")
    kept = min(top_k, logits_BV.shape[1]) if top_k else logits_BV.shape[1]
    scores_BK, ids_BK = logits_BV.topk(kept, dim=-1) if top_k else (logits_BV, None)
    # The largest score is moved to 0 first: dividing it by a tiny temperature would overflow.
    scores_BK = (scores_BK - scores_BK.amax(dim=-1, keepdim=True)) / temperature
    probabilities_BK = scores_BK.softmax(dim=-1)
    races_BK = torch.stack(
        [
            torch.empty_like(row_K).exponential_(generator=g)
            for row_K, g in zip(probabilities_BK, generators, strict=True)
        ]
    )
    picked_B1 = (probabilities_BK / races_BK).argmax(dim=-1, keepdim=True)
    return (picked_B1 if ids_BK is None else ids_BK.gather(1, picked_B1)).squeeze(1)
