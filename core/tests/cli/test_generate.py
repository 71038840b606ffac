from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from nanoplug.cli.generate import generate
from nanoplug.errors import ConfigError

RunThatTypes = Callable[[str], Any]


def call(*arguments: str) -> Result:
    return CliRunner().invoke(generate, ["--run", "runs/a", *arguments], catch_exceptions=False)


def test_prompt_and_completion_on_stdout_and_the_parts_on_stderr(run_that_types: RunThatTypes) -> None:
    asked = run_that_types(" return é; }")
    result = call("--prompt", "int f() {")
    assert result.stdout == "int f() { return é; }\n"
    assert "sdpa-like" in result.stderr
    assert asked.model.prompts == [b"int f() {"]
    assert asked.closed == [True]


def test_choices_reach_the_run(run_that_types: RunThatTypes) -> None:
    asked = run_that_types("x")
    call("--prompt", "a", "--step", "3", "--attention", "one", "--device", "two", "--precision", "bf16")
    (folder, options), *_ = asked.calls
    assert folder == Path("runs/a")
    assert options["step"] == 3
    assert options["precision"] == "bf16"
    assert options["select"] == {"attention.train": "one", "attention.decode": "one", "device": "two"}


def test_max_tokens_and_samples(run_that_types: RunThatTypes) -> None:
    run_that_types("abcdef")
    result = call("--prompt", ">", "--max-tokens", "3", "--num-samples", "2")
    assert result.stdout == "--- sample 1 of 2\n>abc\n--- sample 2 of 2\n>abc\n"


def test_json(run_that_types: RunThatTypes) -> None:
    run_that_types("abc")
    result = call("--prompt", ">", "--num-samples", "2", "--json")
    assert json.loads(result.stdout) == {"step": 7, "prompt": ">", "completions": ["abc", "abc"]}


def test_a_prompt_from_a_file(run_that_types: RunThatTypes, tmp_path: Path) -> None:
    run_that_types("x")
    path = tmp_path / "prompt.txt"
    path.write_text("line 1\nline 2", encoding="utf-8")
    assert call("--prompt-file", str(path)).stdout == "line 1\nline 2x\n"


def test_one_prompt_is_needed_and_it_must_be_text(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\x00")
    for arguments in ([], ["--prompt", "a", "--prompt-file", str(binary)]):
        with pytest.raises(ConfigError, match="one prompt"):
            call(*arguments)
    for path in (binary, tmp_path / "missing"):
        with pytest.raises(ConfigError, match="cannot be read"):
            call("--prompt-file", str(path))
