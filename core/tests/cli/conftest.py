"""A run folder's stand-in: a model that types a given text, whatever it is asked."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from nanoplug.cli import open_run as open_run_module


class Typist:
    """After a prompt, its most likely tokens are the bytes of `script`, then the stop token."""

    compute_dtype = torch.float32
    training = False

    def __init__(self, script: str) -> None:
        self.config = SimpleNamespace(
            vocab_size=257, sequence_len=4096, n_layer=1, n_kv_head=1, n_head=1, n_embd=2, softcap=None
        )
        self.script = [*script.encode(), 256]
        self.typed = 0
        self.prompts: list[bytes] = []

    def logits(self, tokens_BT: Tensor, *, cache: Any, last_only: bool) -> Tensor:
        assert last_only
        if cache.longest == 0:
            self.typed = 0
            self.prompts.append(bytes(token for token in tokens_BT[0].tolist() if token < 256))
        cache.advance(tokens_BT.shape[1])
        logits_B1V = torch.zeros(tokens_BT.shape[0], 1, 257)
        logits_B1V[:, :, self.script[self.typed]] = 100.0
        self.typed += 1
        return logits_B1V

    def train(self, mode: bool = True) -> Typist:
        return self

    def eval(self) -> Typist:
        return self


@pytest.fixture
def run_that_types(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """`run_that_types(script)` makes every run open as a model that types `script`; gives what was asked of it."""

    def start(script: str) -> Any:
        tokenizer = SimpleNamespace(
            special={"<|bos|>": 256},
            encode=lambda text: list(text.encode()),
            decode_bytes=bytes,
            bytes_per_token=[1] * 256 + [0],
        )
        closed: list[bool] = []
        device = SimpleNamespace(
            torch_device=torch.device("cpu"), put=torch.clone, close=lambda: closed.append(True), rank=0, world_size=1
        )
        asked = SimpleNamespace(model=Typist(script), calls=[], closed=closed, config=None)

        def open_run(folder: Any, **options: Any) -> Any:
            options.pop("console").print("attention sdpa-like")
            asked.calls.append((folder, options))
            return SimpleNamespace(model=asked.model, tokenizer=tokenizer, device=device, step=7, config=asked.config)

        monkeypatch.setattr(open_run_module, "open_run", open_run)
        return asked

    return start
