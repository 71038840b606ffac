from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from nanoplug.cli.eval import evaluate
from nanoplug.errors import ConfigError, DataError, NanoplugError
from nanoplug.evaluation import judge as judge_module
from nanoplug.evaluation.cpp_problems import Problem
from nanoplug.evaluation.cut import cut
from nanoplug.evaluation.judge import Verdict

RunThatTypes = Callable[[str], Any]


class Reader:
    """A judge that passes a body holding `return`; remembers what it judged."""

    judged: list[str] = []

    def __init__(self, *, isolated: bool = True) -> None:
        self.sandbox = SimpleNamespace(isolated=isolated)

    def judge(self, problem: Problem, completion: str) -> Verdict:
        self.judged.append(cut(problem.prompt, completion))
        good = "return" in completion
        return Verdict(compiled=True, passed=good, cause="passed" if good else "exit code 1")


@pytest.fixture(autouse=True)
def reader(monkeypatch: pytest.MonkeyPatch) -> type[Reader]:
    Reader.judged = []
    monkeypatch.setattr(judge_module, "Judge", Reader)
    return Reader


@pytest.fixture
def problems(tmp_path: Path) -> str:
    rows = [
        {"name": name, "prompt": "int f() {", "test": "", "difficulty": "easy", "solution": solution}
        for name, solution in (("a", "return 1; }"), ("b", "}"), ("c", "return 2; }"))
    ]
    path = tmp_path / "problems.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return str(path)


def call(*arguments: str) -> Result:
    result = CliRunner().invoke(evaluate, arguments)
    if isinstance(result.exception, NanoplugError):
        raise result.exception
    return result


def test_cpp_judges_a_model(run_that_types: RunThatTypes, problems: str, reader: type[Reader]) -> None:
    asked = run_that_types(" return 1; }\nint main() {}")
    result = call("cpp", "--run", "r", "--problems", problems, "--limit", "2", "--json")
    report = json.loads(result.stdout)
    assert (report["step"], report["cpp_pass_rate"], report["samples"], report["isolated"]) == (7, 1.0, 1, True)
    assert reader.judged == [" return 1; }"] * 2
    assert asked.model.prompts == [b"int f() {"] * 2
    assert asked.closed == [True]
    # It stopped once the function was whole, not at the end of what it could have typed.
    assert asked.model.typed < len(" return 1; }\nint")


def test_cpp_with_samples_says_pass_at_k(run_that_types: RunThatTypes, problems: str) -> None:
    run_that_types(" return 1; }")
    result = call("cpp", "--run", "r", "--problems", problems, "--samples", "10")
    assert "pass 100.0%" in result.stdout
    assert "pass@10 100.0%" in result.stdout
    assert "30  passed" in result.stdout


def test_references_that_fail_are_counted_and_end_with_1(problems: str) -> None:
    result = call("cpp", "--verify-references", "--problems", problems)
    assert result.exit_code == 1
    assert "1  exit code 1" in result.stdout
    good = call("cpp", "--verify-references", "--problems", problems, "--limit", "1", "--json")
    assert good.exit_code == 0
    assert json.loads(good.stdout)["cpp_pass_rate"] == 1.0


def test_without_a_sandbox_it_says_so(problems: str) -> None:
    result = call("cpp", "--verify-references", "--problems", problems, "--limit", "1", "--unsafe-no-sandbox")
    assert "warning" in result.stderr
    assert "without a sandbox" in result.stdout
    assert "sandbox" not in call("cpp", "--verify-references", "--problems", problems, "--limit", "1").output


def test_cpp_needs_a_model_or_references_and_problems(problems: str, tmp_path: Path) -> None:
    for arguments in ([], ["--run", "r", "--verify-references"]):
        with pytest.raises(ConfigError, match="model or references"):
            call("cpp", *arguments)
    with pytest.raises(DataError, match="no file of C"):
        call("cpp", "--verify-references", "--problems", str(tmp_path / "missing.jsonl"))


def test_bpb(run_that_types: RunThatTypes, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = run_that_types("")
    made: dict[str, Any] = {}

    class Loader:
        documents = 3

        def __init__(self, shards: Any, tokenizer: Any, **options: Any) -> None:
            made.update(options, shards=shards)

        def __iter__(self) -> Iterator[Any]:
            row_BT = torch.tensor([[1, 2, 256, -1]])
            yield SimpleNamespace(inputs_BT=row_BT, targets_BT=row_BT, segments_BT=None)

    monkeypatch.setattr("nanoplug.data.eval_rows.EvalLoader", Loader)
    monkeypatch.setattr(
        "nanoplug.data.shards.split_shards",
        lambda folder, *, validation: ([], [folder / name for name in validation or ["its own"]]),
    )
    scored = SimpleNamespace(bpb=1.5, nats=2 * math.log(2), bytes=2, tokens=2)
    monkeypatch.setattr("nanoplug.evaluation.bits_per_byte.bits_per_byte", lambda *_: scored)
    asked.config = SimpleNamespace(
        optim=SimpleNamespace(device_batch_size=4),
        cadence=SimpleNamespace(eval_tokens=99),
        data=SimpleNamespace(data="d", tokenizer_batch=8, tokenizer_threads=1, mask_documents=False),
    )
    result = call("bpb", "--run", "r", "--json")
    assert json.loads(result.stdout)["bpb"] == 1.5
    assert (made["max_tokens"], made["sequence_len"], made["shards"]) == (99, 4096, [Path("d/last")])
    assert asked.closed == [True]
    assert "val bpb 1.5000" in call("bpb", "--run", "r", "--tokens", "5", "--data", "other").stdout
    assert (made["max_tokens"], made["shards"]) == (5, [Path("other/its own")])
    scored.bytes = 0
    with pytest.raises(DataError, match="no byte"):
        call("bpb", "--run", "r")
