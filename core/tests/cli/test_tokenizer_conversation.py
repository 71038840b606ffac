"""What is shown of a conversation; held with the reference tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from nanoplug.cli import tokenizer_conversation
from nanoplug.cli.main import cli
from nanoplug.conformance.tokenizer_reference import ReferenceTokenizer

CONVERSATION = {
    "messages": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [{"type": "text", "text": "o\x1b\n"}, {"type": "python_output", "text": "2"}]},
    ]
}
TOKENIZER = ReferenceTokenizer([b"hi"])


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tokenizer_conversation, "opened", lambda _: (None, TOKENIZER))
    path = tmp_path / "conversation.json"
    path.write_text(json.dumps(CONVERSATION))
    return path


def run(*arguments: object, color: bool = False) -> Result:
    return CliRunner().invoke(cli, ["tokenizer", "show-conversation", "folder", *map(str, arguments)], color=color)


def test_green_is_trained_on_and_red_is_not(file: Path) -> None:
    shown = run(file, color=True)
    assert shown.exit_code == 0, shown.output
    red, green = (lambda text: click.style(text, fg="red")), (lambda text: click.style(text, fg="green"))
    assert shown.stdout.startswith("|".join([red("<|bos|>"), red("<|user_start|>"), red("hi"), red("<|user_end|>")]))
    assert "|".join([red("<|assistant_start|>"), green("o"), green("\\x1b"), green("\n")]) in shown.stdout
    assert (
        "|".join([red("<|output_start|>"), red("2"), red("<|output_end|>"), green("<|assistant_end|>")]) in shown.stdout
    )
    assert "12 tokens, 4 trained on" in shown.stderr


def test_ids_in_grey(file: Path) -> None:
    bos = TOKENIZER.special["<|bos|>"]
    assert f"<|bos|>({bos})|" in run(file, "--ids").stdout
    assert click.style(f"({bos})", fg="bright_black") in run(file, "--ids", color=True).stdout


def test_json(file: Path) -> None:
    document = json.loads(run(file, "--json").stdout)
    assert (document["tokens"], document["trained"]) == (12, 4)
    assert document["rows"][0] == {"id": TOKENIZER.special["<|bos|>"], "text": "<|bos|>", "trained": False}
    assert [row["text"] for row in document["rows"] if row["trained"]] == ["o", "\x1b", "\n", "<|assistant_end|>"]


def test_what_a_model_is_given_to_answer(file: Path) -> None:
    document = json.loads(run(file, "--json", "--prime").stdout)
    assert "".join(row["text"] for row in document["rows"]) == "<|bos|><|user_start|>hi<|user_end|><|assistant_start|>"
    assert document["trained"] == 0
    assert json.loads(run(file, "--json", "--max-tokens", 3).stdout)["tokens"] == 3


def test_a_line_of_many(file: Path, tmp_path: Path) -> None:
    lines = tmp_path / "many.jsonl"
    other: dict[str, Any] = {"messages": [{"role": "user", "content": "other"}]}
    lines.write_text(json.dumps(CONVERSATION) + "\n" + json.dumps(other) + "\n")
    assert "o|t|h|e|r" in run(lines, "--line", 2).stdout
    assert "there is no line 3" in run(lines, "--line", 3).output


def test_what_goes_wrong(file: Path, tmp_path: Path) -> None:
    for content, says in ((b"{", "is not JSON"), (b"[]", "holds list"), (b"\xff", "is not UTF-8"), (b"{}", "messages")):
        path = tmp_path / "wrong.json"
        path.write_bytes(content)
        done = run(path)
        assert done.exit_code == 1
        assert says in done.output
    assert "cannot be read" in run(tmp_path / "gone.json").output
