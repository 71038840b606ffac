"""`docs/write_a_plugin.md`, followed to the letter in a clean environment: each file written, each command run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

PAGE = Path(__file__).parent.parent / "docs" / "write_a_plugin.md"
BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TOOLS = ("pip", "hatchling", "editables")

pytestmark = pytest.mark.slow


class Block(NamedTuple):
    """A fenced block: a file with its name, or a console."""

    language: str
    title: str
    text: str


class Command(NamedTuple):
    line: str
    shown: list[str]


def _blocks() -> list[Block]:
    return [Block(*match.groups(default="")) for match in BLOCK.finditer(PAGE.read_text(encoding="utf-8"))]


def _commands(console: str) -> Iterator[Command]:
    for part in re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]:
        line, *shown = part.splitlines()
        yield Command(line, shown)


def shows(shown: Sequence[str], output: str) -> bool:
    """Whether `output` is what is `shown`; there, `...` stands for anything."""
    pattern = r"\n".join(re.escape(line.rstrip()).replace(r"\.\.\.", r"[\s\S]*?") for line in shown)
    return re.fullmatch(pattern, "\n".join(line.rstrip() for line in output.splitlines())) is not None


def test_what_is_shown_is_compared() -> None:
    assert shows(["a", "...", "z"], "a\nb\nc\nz\n")
    assert shows(["a ... ok"], "a  1  2  ok\n")
    assert not shows(["a ... ok"], "a  1  2  BROKEN\n")
    assert not shows(["a", "z"], "a\nb\nz\n")


def test_every_block_is_a_file_or_a_console() -> None:
    blocks = _blocks()
    assert len(blocks) == PAGE.read_text(encoding="utf-8").count("\n```") / 2
    for block in blocks:
        assert (block.language == "console") != bool(block.title), block
    assert sum(block.language == "console" for block in blocks) >= 5


def test_from_the_first_line_to_the_installed_wheel(
    clean_environment: Callable[..., Any], core_wheel: Path, tmp_path: Path
) -> None:
    environment = clean_environment(core_wheel, also=TOOLS)
    for block in _blocks():
        if block.title:
            path = tmp_path / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
            continue
        for command in _commands(block.text):
            finished = environment.shell(command.line, tmp_path)
            output = finished.stdout
            assert finished.returncode == 0, f"$ {command.line}\n{output}{finished.stderr}"
            if command.shown:
                assert shows(command.shown, output), f"$ {command.line}\n{output}"
    where = environment.run("python", "-c", "import pulse_attention; print(pulse_attention.__file__)").stdout
    assert "site-packages" in where
