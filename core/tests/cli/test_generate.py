from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from nanoplug.cli.generate import generate
from nanoplug.config import load_config
from nanoplug.errors import ConfigError

RunThatTypes = Callable[..., Any]
BOS, S, P, M = 256, 257, 258, 259  # as the run's tokenizer has them


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


def test_a_file_is_taken_byte_for_byte(run_that_types: RunThatTypes, tmp_path: Path) -> None:
    asked = run_that_types("x")
    path = tmp_path / "prompt.txt"
    path.write_bytes(b"a\r\n\tb\r\n")
    call("--prompt-file", str(path))
    assert asked.model.prompts == [b"a\r\n\tb\r\n"]


@pytest.mark.parametrize("spm", [False, True])
def test_a_middle_is_printed_between_its_texts(spm: bool, run_that_types: RunThatTypes) -> None:
    asked = run_that_types(" return é; ", fim=True)
    asked.config = load_config({"data": {"fim_rate": 0.5}}, {}).config
    result = call("--prefix", "int f() {", "--suffix", "}", *(["--spm"] if spm else []))
    assert result.stdout == "int f() { return é; }\n"
    prefix, suffix = [*b"int f() {"], [*b"}"]
    (ids,) = asked.model.asked_ids
    assert ids == ([BOS, P, S, *suffix, M, *prefix] if spm else [BOS, P, *prefix, S, *suffix, M])
    assert "warning" not in result.stderr
    assert asked.closed == [True]


def test_a_middle_stands_out_on_a_terminal(run_that_types: RunThatTypes) -> None:
    run_that_types("ab", fim=True)
    arguments = ["--run", "runs/a", "--prefix", "<", "--suffix", ">"]
    result = CliRunner().invoke(generate, arguments, color=True, catch_exceptions=False)
    assert click.unstyle(result.stdout) == "<ab>\n"
    assert result.stdout.startswith("<\x1b[")
    assert result.stdout.endswith("\x1b[0m>\n")


def test_middles_as_json_and_several(run_that_types: RunThatTypes) -> None:
    run_that_types("abc", fim=True)
    given = ("--prefix", "<\n", "--suffix", "", "--num-samples", "2")
    assert json.loads(call(*given, "--json").stdout) == {
        "step": 7,
        "prefix": "<\n",
        "suffix": "",
        "middles": ["abc", "abc"],
    }
    assert call(*given).stdout == "--- sample 1 of 2\n<\nabc\n--- sample 2 of 2\n<\nabc\n"


def test_texts_around_a_middle_from_files(run_that_types: RunThatTypes, tmp_path: Path) -> None:
    run_that_types("x", fim=True)
    before, behind = tmp_path / "before", tmp_path / "behind"
    before.write_bytes("é\n".encode())
    behind.write_bytes(b"\r\nb")
    assert call("--prefix-file", str(before), "--suffix-file", str(behind)).stdout_bytes == "é\nx\r\nb\n".encode()


def test_a_run_that_never_learnt_to_fill_in(run_that_types: RunThatTypes) -> None:
    asked = run_that_types("x", fim=True)
    for rates, warned in (({}, True), ({"fim_structured_rate": 0.1, "fim_pairs": "p"}, False)):
        asked.config = load_config({"data": rates}, {}).config
        result = call("--prefix", "a", "--suffix", "b")
        assert result.stdout == "axb\n"
        assert ("trained without fill-in-the-middle" in result.stderr) == warned


def test_a_tokenizer_without_the_special_tokens(run_that_types: RunThatTypes) -> None:
    asked = run_that_types("x")
    with pytest.raises(ConfigError, match="it has no <FIM_PREFIX>"):
        call("--prefix", "a", "--suffix", "b")
    assert asked.closed == [True]


def test_texts_that_do_not_fit(run_that_types: RunThatTypes) -> None:
    asked = run_that_types("x", fim=True)
    asked.model.config.sequence_len = 20
    assert call("--prefix", "a" * 10, "--suffix", "b" * 3, "--max-tokens", "3").stdout.startswith("aaaaaaaaaaxbbb")
    with pytest.raises(
        ConfigError, match="have 17 tokens; with 4 for the middle they do not fit into the model's rows of 20"
    ):
        call("--prefix", "a" * 10, "--suffix", "b" * 3, "--max-tokens", "4")


@pytest.mark.parametrize(
    ("arguments", "got"),
    [
        ([], "nothing"),
        (["--prefix", "a"], "--prefix"),
        (["--suffix", "a"], "--suffix"),
        (["--prompt", "a", "--prefix", "b", "--suffix", "c"], "--prompt and --prefix and --suffix"),
        (["--prompt", "a", "--suffix", "c"], "--prompt and --suffix"),
        (["--prompt", "a", "--spm"], "--prompt and --spm"),
    ],
)
def test_a_prompt_or_both_texts_are_needed(arguments: list[str], got: str) -> None:
    with pytest.raises(ConfigError, match=f"a prefix and a suffix; it got {got}\\.") as caught:
        call(*arguments)
    assert "both --prefix TEXT and --suffix TEXT" in str(caught.value)


@pytest.mark.parametrize("name", ["prompt", "prefix", "suffix"])
def test_a_text_is_given_once_and_is_text(name: str, tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\x00")
    with pytest.raises(ConfigError, match=f"one {name}; it got --{name} and --{name}-file"):
        call(f"--{name}", "a", f"--{name}-file", str(binary))
    for path in (binary, tmp_path / "missing"):
        with pytest.raises(ConfigError, match=f"the {name} cannot be read"):
            call(f"--{name}-file", str(path))
