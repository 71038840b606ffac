"""A run folder's stand-in: a model that types a given text, whatever it is asked."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from nanoplug.cli import open_run as open_run_module
from nanoplug.config import Config

FIM = {"<FIM_SUFFIX>": 257, "<FIM_PREFIX>": 258, "<FIM_MIDDLE>": 259, "<EOS>": 260}


class Typist:
    """After a prompt, its most likely tokens are the bytes of `script`, then the token `end`."""

    compute_dtype = torch.float32
    training = False

    def __init__(self, script: str, end: int) -> None:
        self.config = SimpleNamespace(
            vocab_size=261, sequence_len=4096, n_layer=1, n_kv_head=1, n_head=1, n_embd=2, softcap=None
        )
        self.script = [*script.encode(), end]
        self.typed = 0
        self.asked_ids: list[list[int]] = []

    @property
    def prompts(self) -> list[bytes]:
        return [bytes(id for id in ids if id < 256) for ids in self.asked_ids]

    def logits(self, tokens_BT: Tensor, *, cache: Any, last_only: bool) -> Tensor:
        assert last_only
        if cache.longest == 0:
            self.typed = 0
            self.asked_ids.append(tokens_BT[0].tolist())
        cache.advance(tokens_BT.shape[1])
        logits_B1V = torch.zeros(tokens_BT.shape[0], 1, 261)
        logits_B1V[:, :, self.script[self.typed]] = 100.0
        self.typed += 1
        return logits_B1V

    def train(self, mode: bool = True) -> Typist:
        return self

    def eval(self) -> Typist:
        return self


@pytest.fixture
def run_that_types(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`run_that_types(script)` makes every run open as a model that types `script`; gives what was asked of it.

    fim: its tokenizer has the special tokens of filling in the middle, and it ends with their end.
    """

    def start(script: str, *, fim: bool = False) -> Any:
        tokenizer = SimpleNamespace(
            special={"<|bos|>": 256, **(FIM if fim else {})},
            encode=lambda text: list(text.encode()),
            decode_bytes=bytes,
            bytes_per_token=[1] * 256 + [0] * 5,
        )
        closed: list[bool] = []
        device = SimpleNamespace(
            torch_device=torch.device("cpu"), put=torch.clone, close=lambda: closed.append(True), rank=0, world_size=1
        )
        asked = SimpleNamespace(
            model=Typist(script, FIM["<EOS>"] if fim else 256), calls=[], closed=closed, config=Config()
        )

        def open_run(folder: Any, **options: Any) -> Any:
            options.pop("console").print("attention sdpa-like")
            asked.calls.append((folder, options))
            return SimpleNamespace(
                model=asked.model, tokenizer=tokenizer, device=device, step=7, config=asked.config, validation=["last"]
            )

        monkeypatch.setattr(open_run_module, "open_run", open_run)
        return asked

    return start


@pytest.fixture(scope="module")
def words_family(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The kit's reference tokenizer as an installed family, which `auto` chooses before all others; gives its name."""
    folder = tmp_path_factory.mktemp("installed")
    package, info = folder / "words_family", folder / "words_family-1.0.dist-info"
    package.mkdir()
    info.mkdir()
    (package / "__init__.py").touch()
    (package / "manifest.py").write_text(
        "from nanoplug.spec import TokenizerSpec, hookimpl\n"
        "@hookimpl\n"
        "def nanoplug_tokenizer():\n"
        "    return [TokenizerSpec(name='words', summary='', rank=9000, lossless=True, trainable=True, chat=True,\n"
        "        load='nanoplug.conformance.tokenizer_reference:ReferenceFactory', imports='words.json')]\n"
    )
    (info / "entry_points.txt").write_text("[nanoplug.plugins]\nwords = words_family.manifest\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: words-family\nVersion: 1.0\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield "words"
    for name in [name for name in sys.modules if name.partition(".")[0] == "words_family"]:
        del sys.modules[name]
