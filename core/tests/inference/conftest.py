"""Plain backends for the engine's tests: a slow attention and kernel, a byte tokenizer, the host as the device."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

from nanoplug.contracts import LayerCache, Mask
from nanoplug.inference.engine import Engine
from nanoplug.model.gpt import GPT, GPTConfig

SPECIAL = {"<|bos|>": 256, "<|assistant_end|>": 257}


class SlowAttention:
    """Counts the rows and tokens of its cached calls in `calls`."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def attend(self, q: Tensor, k: Tensor, v: Tensor, *, mask: Mask) -> Tensor:
        return self._attend(q, k, v, torch.arange(q.shape[1]).expand(q.shape[0], -1), mask.window)

    def attend_cached(self, q: Tensor, k: Tensor, v: Tensor, cache: LayerCache, *, mask: Mask) -> Tensor:
        self.calls.append((q.shape[0], q.shape[1]))
        at_BT = cache.lengths_B.long()[:, None] + torch.arange(q.shape[1])
        assert int(at_BT.max()) < cache.k_BSGD.shape[1]
        row_B1 = torch.arange(q.shape[0])[:, None]
        cache.k_BSGD[row_B1, at_BT], cache.v_BSGD[row_B1, at_BT] = k, v
        return self._attend(q, cache.k_BSGD, cache.v_BSGD, at_BT, mask.window)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, at_BT: Tensor, window: int) -> Tensor:
        behind_BTS = at_BT[:, :, None] - torch.arange(k.shape[1])
        hidden_BTS = (behind_BTS < 0) | ((behind_BTS > window) if window >= 0 else torch.tensor(False))
        shared = q.shape[2] // k.shape[2]
        k, v = k.repeat_interleave(shared, 2), v.repeat_interleave(shared, 2)
        scores = torch.einsum("bthd,bshd->bhts", q, k) * q.shape[-1] ** -0.5
        return torch.einsum("bhts,bshd->bthd", scores.masked_fill(hidden_BTS[:, None], -torch.inf).softmax(-1), v)


class PlainKernel:
    def rms_norm(self, x: Tensor, *, eps: float) -> Tensor:
        return x * (x.square().mean(-1, keepdim=True) + eps).rsqrt()

    def rotary(self, x: Tensor, cos_BTE: Tensor, sin_BTE: Tensor) -> Tensor:
        (x1, x2), cos, sin = x.chunk(2, -1), cos_BTE[:, :, None], sin_BTE[:, :, None]
        return torch.cat([x1 * cos + x2 * sin, x2 * cos - x1 * sin], -1)


class ByteTokenizer:
    """One id for each byte, then the specials."""

    vocab_size = 258
    special = SPECIAL

    def encode(self, text: str | bytes) -> list[int]:
        return list(text.encode() if isinstance(text, str) else text)

    def decode_bytes(self, ids: list[int]) -> bytes:
        return bytes(ids)


class Host:
    type = "cpu"
    torch_device = torch.device("cpu")
    world_size = 1

    def put(self, tensor: Tensor) -> Tensor:
        return tensor.clone()

    def step(self) -> Any:
        return nullcontext()


@pytest.fixture
def tokenizer() -> ByteTokenizer:
    return ByteTokenizer()


@pytest.fixture
def make_engine(tokenizer: Any) -> Callable[..., Engine]:
    """`make_engine(never=ids)`: a small random model that gives the ids in `never` no chance; its attention counts."""

    def make(*, never: tuple[int, ...] = tuple(SPECIAL.values()), sequence_len: int = 32) -> Engine:
        config = GPTConfig(
            vocab_size=258, sequence_len=sequence_len, n_layer=3, n_head=4, n_kv_head=2, n_embd=32, window_pattern="SL"
        )
        model = GPT(config, attention=SlowAttention(), kernel=PlainKernel())  # type: ignore[arg-type]
        model.init_weights(1)
        torch.manual_seed(1)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape) * (0.3 if parameter.ndim == 2 else 0.1))
        plain = model.logits

        def logits(*args: Any, **options: Any) -> Tensor:
            values = plain(*args, **options)
            values[..., list(never)] = -1e4
            return values

        model.logits = logits  # type: ignore[method-assign]
        return Engine(model, tokenizer, device=Host())  # type: ignore[arg-type]

    return make
