"""A corpus, shards, a tokenizer and a model so small that a whole run takes a second."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nanoplug.cli.main import main

SMALL: dict[str, Any] = {
    "depth": 1,
    "aspect_ratio": 16,
    "head_dim": 8,
    "sequence_len": 32,
    "window_pattern": "L",
    "device_batch_size": 2,
    "total_batch_size": 64,
    "buffer_documents": 20,
    "tokenizer_threads": 1,
    "steps": 12,
    "eval_every": 4,
    "eval_tokens": 600,
    "save_every": 3,
    "sample_every": -1,
}


def nanoplug(*arguments: object) -> None:
    """Runs the command in this process; it must succeed."""
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    assert not end.value.code


def write_corpus(folder: Path, *, files: int = 60, seed: int = 1) -> Path:
    draw = random.Random(seed)
    folder.mkdir()
    for number in range(files):
        lines = ["#pragma once", f"namespace n{number} {{"]
        for each in range(draw.randrange(3, 25)):
            words = draw.choice(["adds", "scales", "mixes"])
            value = f"a {draw.choice('+-*')} b + {draw.randrange(100)}"
            lines.append(f"inline int f{each}(int a, int b) {{ return {value}; }}  // {words}")
        (folder / f"file_{number}.h").write_text("\n".join([*lines, "}", ""]))
    return folder


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "src")


@pytest.fixture(scope="session")
def data(corpus: Path) -> Path:
    folder = corpus.parent / "data"
    nanoplug("data", "build", "--source", corpus, "--out", folder, "--val-fraction", 0.1)
    return folder


@pytest.fixture(scope="session")
def tokenizer(data: Path) -> Path:
    folder = data.parent / "tokenizer"
    nanoplug("tokenizer", "train", "--data", data, "--vocab-size", 300, "--out", folder, "--tokenizer", "bpe")
    return folder


@pytest.fixture
def arguments(data: Path, tokenizer: Path) -> Callable[..., list[str]]:
    """`arguments(out, steps=5, fresh=True, ...)`: of `nanoplug train`, the small run's with these changes."""

    def make(out: Path, **changes: Any) -> list[str]:
        values = {"out": out, "data": data, "tokenizer_dir": tokenizer, **SMALL, **changes}
        made = ["train"]
        for name, value in values.items():
            flag = name.replace("_", "-")
            if isinstance(value, bool):
                made.append(f"--{flag}" if value else f"--no-{flag}")
            elif value is not None:
                made += [f"--{flag}", str(value)]
        return made

    return make


@pytest.fixture
def train(run_here: Callable[..., Any], arguments: Callable[..., list[str]]) -> Callable[..., Any]:
    """`train(out, **changes)` in this process; gives exit code and output."""
    return lambda out, **changes: run_here(*arguments(out, **changes))
