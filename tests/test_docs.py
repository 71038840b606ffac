"""The documentation builds without a warning; links, commands, flags and make targets in it and in READMEs exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from nanoplug.cli.main import COMMANDS, cli
from nanoplug.config import fields
from nanoplug.spec import SPEC_OF_KIND

ROOT = Path(__file__).parent.parent
PAGES = [
    path
    for pattern in (
        "*.md",
        "docs/*.md",
        "core/*.md",
        "plugins/*/*/README.md",
        "core/src/nanoplug/templates/*/*.template",
    )
    for path in sorted(ROOT.glob(pattern))
    if path.name != "pyproject.toml.template"
]
LINK = re.compile(r"\[[^\]]+\]\((?!https?:|#)([^)#\s]+)[^)]*\)")
CODE_SPAN = re.compile(r"`([^`\n]+)`")
OPERATORS = {"|", "||", "&&", ">", ";", "&"}


def _code(text: str) -> Iterator[str]:
    """Lines of fenced blocks, without the `$ ` of a console, and code spans elsewhere."""
    inside = False
    for line in text.splitlines():
        if line.startswith("```"):
            inside = not inside
        elif inside:
            yield line.removeprefix("$ ").strip()
        else:
            yield from CODE_SPAN.findall(line)


def _words(line: str) -> list[str]:
    """The words of the first command of a line."""
    words = []
    for word in shlex.split(line, comments=True):
        if word in OPERATORS:
            break
        words.append(word)
    return words


def wrong_in(line: str) -> list[str]:
    """What is wrong in a `nanoplug` command: commands and flags that do not exist."""
    command: click.Command = cli
    context = click.Context(cli, info_name="nanoplug")
    wrong = []
    for word in _words(line)[1:]:
        if isinstance(command, click.Group) and not word.startswith("-"):
            found = [command.get_command(context, name) for name in word.split("|")]
            if None in found:
                return [f"there is no command {word!r} in `{line}`"]
            command = found[0] or command
        elif word.startswith("-") and not word[1:2].isdigit():
            known = {name for option in command.get_params(context) for name in (*option.opts, *option.secondary_opts)}
            if word.partition("=")[0] not in known:
                wrong.append(f"there is no flag {word!r} in `{line}`")
    return wrong


def test_wrong_commands_are_found() -> None:
    assert wrong_in("nanoplug train --config run.toml --depth 3 --no-check --attention.train auto") == []
    assert wrong_in("nanoplug plugins list|show --json | less --nothing") == []
    assert wrong_in("nanoplug verify KIND NAME  # proves it") == []
    assert wrong_in("nanoplug trian --depth 3") == ["there is no command 'trian' in `nanoplug trian --depth 3`"]
    assert wrong_in("nanoplug plugins lost") != []
    assert len(wrong_in("nanoplug train --dept 3 --depth=4 --fish")) == 2


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_flags_and_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):(?!=)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    wrong = []
    for code in _code(page.read_text(encoding="utf-8")):
        if code.startswith(("nanoplug ", "python -m nanoplug ")):
            wrong += wrong_in(code.removeprefix("python -m "))
        elif code.startswith("make "):
            target = _words(code)[1]
            wrong += [] if target in targets else [f"there is no target {target!r} in the Makefile"]
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()]
    assert not broken


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make docs` does: a warning, such as a link that leads nowhere, is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return folder


def test_what_is_generated_is_complete(site: Path) -> None:
    training, commands, reference, backends = (
        (site / page / "index.html").read_text(encoding="utf-8")
        for page in ("train", "commands", "reference", "backends")
    )
    for _, key in fields():
        assert f"<code>{key.name}</code>" in training
    for name in (*COMMANDS, "plugins list", "tokenizer train"):
        assert f"<code>nanoplug {name}</code>" in commands
    for spec in SPEC_OF_KIND.values():
        assert f'id="nanoplug.spec.{spec.__name__}"' in reference
    assert "<li><code>distributions</code>: installed distributions" in reference
    for readme in ROOT.glob("plugins/*/*/README.md"):
        assert f'href="../plugins/{readme.parent.parent.name}_{readme.parent.name}/"' in backends
    assert "generated:" not in training + commands + backends
