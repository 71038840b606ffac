"""Lines for whoever watches a run: a word, then what is to be said of it, never wrapped and never markup."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def say(console: Console, what: str, text: str) -> None:
    say_line(console, f"{what:<16} {text}")


def say_line(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
