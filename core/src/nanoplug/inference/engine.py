"""Generation with a key/value cache: several samples of one prompt, or several prompts at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nanoplug.contracts import Device, Tokenizer
from nanoplug.errors import ContractError
from nanoplug.inference.kv_cache import KVCache
from nanoplug.inference.sampling import check_sampling, sample

if TYPE_CHECKING:
    from nanoplug.model.gpt import GPT

_BEGINNINGS = ("<|bos|>", "<|endoftext|>")
_STOPS = (*_BEGINNINGS, "<|eos|>", "<EOS>", "<|assistant_end|>")

Column = tuple[list[int], list[int]]
"""One step: a token for each row, and a mask that is 1 where the token was sampled and 0 where it is a pad."""


class Engine:
    """Runs a model and its tokenizer for generation on one device.

    stop_ids: special tokens that end a row. pad_id: what an ended row emits while others go on.
    """

    def __init__(self, model: GPT, tokenizer: Tokenizer, *, device: Device) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.device = device
        self.stop_ids = frozenset(tokenizer.special[name] for name in _STOPS if name in tokenizer.special)
        self.pad_id = min(self.stop_ids, default=0)

    def encode_prompt(self, text: str) -> list[int]:
        """Ids of `text` after the token that begins every document. ContractError if the tokenizer has none."""
        for name in _BEGINNINGS:
            if name in self.tokenizer.special:
                return [self.tokenizer.special[name], *self.tokenizer.encode(text)]
        raise ContractError(
            f"generate: the tokenizer has no {' or '.join(_BEGINNINGS)} to begin a document with.",
            todo="Use a tokenizer with that special token, or give `generate` ids.",
        )

    def generate(
        self,
        prompt_ids: Sequence[int],
        *,
        num_samples: int = 1,
        max_tokens: int | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        seed: int = 42,
    ) -> Iterator[Column]:
        """Continue one prompt `num_samples` times; yields one column of `num_samples` tokens a step.

        The prompt is run once. A row ends with a stop token, which it yields; the iterator ends when all rows
        have ended, after `max_tokens` steps, or, without `max_tokens`, when the cache of `sequence_len` tokens
        is full. Row i draws from a generator of its own, seeded with `seed + i`.
        Raises ContractError, before anything is run, if an argument is out of range.
        """
        if num_samples < 1:
            raise ContractError(f"generate: num_samples is {num_samples}; it must be at least 1.")
        self._check([prompt_ids], max_tokens, temperature, top_k)
        return self._steps([prompt_ids], num_samples, max_tokens, temperature, top_k, seed)

    def generate_batch(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        max_tokens: int | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        seed: int = 42,
    ) -> tuple[list[list[int]], list[list[int]]]:
        """Continue several prompts, of any lengths, together.

        Returns (sequences, masks): each prompt with its new tokens, less stop tokens, and for each of these 0 (of
        the prompt) or 1 (sampled). Row i is what `generate(prompts[i], ..., seed=seed + i)` gives.
        """
        if not prompts:
            return [], []
        self._check(prompts, max_tokens, temperature, top_k)
        sequences = [list(prompt) for prompt in prompts]
        masks = [[0] * len(prompt) for prompt in prompts]
        for tokens, sampled in self._steps(prompts, 1, max_tokens, temperature, top_k, seed):
            for row, token in enumerate(tokens):
                if sampled[row] and token not in self.stop_ids:
                    sequences[row].append(token)
                    masks[row].append(1)
        return sequences, masks

    def _check(
        self, prompts: Sequence[Sequence[int]], max_tokens: int | None, temperature: float, top_k: int | None
    ) -> None:
        check_sampling(temperature, top_k)
        if max_tokens is not None and max_tokens < 1:
            raise ContractError(f"generate: max_tokens is {max_tokens}; it must be at least 1, or None.")
        vocab_size, capacity = self.model.config.vocab_size, self.model.config.sequence_len
        for prompt in prompts:
            if not prompt:
                raise ContractError("generate: the prompt is empty.", todo="Start with what `encode_prompt` gives.")
            if wrong := [token for token in prompt if not 0 <= token < vocab_size]:
                raise ContractError(
                    f"generate: token {wrong[0]} of the prompt is not in the {vocab_size} of the model."
                )
            if max_tokens is None and len(prompt) > capacity:
                raise ContractError(
                    f"generate: the prompt has {len(prompt)} tokens; without max_tokens the cache holds {capacity}.",
                    todo="Shorten the prompt, or give max_tokens.",
                )

    # Not inference_mode: position tables that grow here stay with the model, which may be trained afterwards.
    @torch.no_grad()
    def _steps(
        self,
        prompts: Sequence[Sequence[int]],
        copies: int,
        max_tokens: int | None,
        temperature: float,
        top_k: int | None,
        seed: int,
    ) -> Iterator[Column]:
        """One column a step for `len(prompts)` rows, or for `copies` rows of one prompt."""
        logits_BV, cache = self._prefill(prompts, copies, max_tokens)
        rows = cache.batch
        generators = [torch.Generator(self.device.torch_device).manual_seed(seed + row) for row in range(rows)]
        ended = [False] * rows
        made = 0
        while True:
            picked_B = sample(logits_BV, temperature=temperature, top_k=top_k, generators=generators)
            picked: list[int] = picked_B.tolist()  # the one synchronisation of a step
            tokens = [self.pad_id if ended[row] else picked[row] for row in range(rows)]
            sampled = [0 if ended[row] else 1 for row in range(rows)]
            made += 1
            yield tokens, sampled
            for row in range(rows):
                full = cache.lengths[row] == cache.capacity_tokens
                if not ended[row] and (full or tokens[row] in self.stop_ids):
                    ended[row] = True
                    # Rows of equal length fill up together; among others an ended row must not be the first.
                    if not cache.uniform:
                        cache.clear_row(row)
            if all(ended) or made == max_tokens:
                return
            logits_BV = self._forward(torch.tensor(tokens)[:, None], cache)

    def _prefill(self, prompts: Sequence[Sequence[int]], copies: int, max_tokens: int | None) -> tuple[Tensor, KVCache]:
        """Logits (B, V) after the last token of each prompt, and a cache of B rows that holds the prompts."""
        longest = max(map(len, prompts))
        capacity = self.model.config.sequence_len if max_tokens is None else longest + max_tokens
        caches, logits = [], []
        for prompt in prompts:
            cache = self._cache(1, len(prompt))
            logits.append(self._forward(torch.tensor([list(prompt)]), cache))
            caches.append(cache)
        cache = self._cache(len(prompts) * copies, capacity)
        cache.prefill(*caches)
        return torch.cat(logits).expand(cache.batch, -1), cache

    def _cache(self, rows: int, capacity_tokens: int) -> KVCache:
        config = self.model.config
        return KVCache(
            config.n_layer,
            rows,
            capacity_tokens,
            config.n_kv_head,
            config.n_embd // config.n_head,
            self.model.compute_dtype,
            self.device.torch_device,
        )

    def _forward(self, tokens_BT: Tensor, cache: KVCache) -> Tensor:
        """Logits (B, V) after the last of T new tokens (B, T), in evaluation mode whatever mode the model is in."""
        training = self.model.training
        self.model.eval()
        try:
            logits_B1V = self.model.logits(self.device.put(tokens_BT), cache=cache, last_only=True)
        finally:
            self.model.train(training)
        return logits_B1V[:, -1]
