"""`nanoplug tokenizer show-conversation`: what a model is trained to say in green, what it only reads in red."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nanoplug.cli.tokenizer_folder_options import FOLDER, json_flag, opened
from nanoplug.errors import DataError

if TYPE_CHECKING:
    from nanoplug.contracts import Tokenizer


@click.command("show-conversation", short_help="Show what of a conversation is trained on.")
@click.argument("folder", type=FOLDER)
@click.argument("file", type=FOLDER)
@click.option("--line", default=1, show_default=True, type=click.IntRange(min=1), help="Of a .jsonl file, which line.")
@click.option("--max-tokens", default=2048, show_default=True, type=int, help="Cut what is longer.")
@click.option("--prime", is_flag=True, help="Show what the model is given to say the last message itself.")
@click.option("--ids", "with_ids", is_flag=True, help="Show the id of each token, too.")
@json_flag
def show_conversation(
    folder: Path, file: Path, line: int, max_tokens: int, prime: bool, with_ids: bool, as_json: bool
) -> None:
    """Show the conversation in FILE as the tokens of the tokenizer in FOLDER.

    Green tokens are trained on, red ones are not. FILE is JSON,
    {"messages": [{"role": "user", "content": "..."}, ...]}.
    """
    from nanoplug.data.conversations import ConversationRendering

    conversation = _conversation(file, line)
    _, tokenizer = opened(folder)
    rendering = ConversationRendering(tokenizer, max_tokens=max_tokens)
    if prime:
        ids = tuple(rendering.prime(conversation))
        mask: tuple[int, ...] = (0,) * len(ids)
    else:
        rendered = rendering.render(conversation)
        ids, mask = rendered.ids, rendered.mask
    texts = _texts(tokenizer, ids)
    if as_json:
        rows = [{"id": id, "text": text, "trained": bool(on)} for id, text, on in zip(ids, texts, mask, strict=True)]
        click.echo(json.dumps({"tokens": len(ids), "trained": sum(mask), "rows": rows}, indent=2, ensure_ascii=False))
        return
    shown = []
    for id, text, on in zip(ids, texts, mask, strict=True):
        number = click.style(f"({id})", fg="bright_black") if with_ids else ""
        shown.append(click.style(_printable(text), fg="green" if on else "red") + number)
    click.echo("|".join(shown))
    click.echo(f"{len(ids):,} tokens, {sum(mask):,} trained on", err=True)


def _texts(tokenizer: Tokenizer, ids: tuple[int, ...]) -> list[str]:
    names = {id: name for name, id in reversed(list(tokenizer.special.items()))}
    return [names.get(id) or tokenizer.decode([id]) for id in ids]


def _printable(text: str) -> str:
    """As it is, but for characters that would command the terminal."""
    return "".join(char if char.isprintable() or char in "\n\t" else repr(char)[1:-1] for char in text)


def _conversation(file: Path, line: int) -> Mapping[str, Any]:
    todo = "Give a .json file of one conversation, or a .jsonl file with one on each line."
    try:
        text = file.read_text("utf-8")
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.", todo=todo) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8: {error}.", todo=todo) from error
    where = str(file)
    if file.suffix == ".jsonl":
        lines = text.splitlines()
        if line > len(lines):
            raise DataError(f"{file} has {len(lines):,} lines; there is no line {line:,}.")
        where, text = f"{file}, line {line}", lines[line - 1]
    try:
        found: Any = json.loads(text)
    except ValueError as error:
        raise DataError(f"{where} is not JSON: {error}.", todo=todo) from error
    if not isinstance(found, dict):
        raise DataError(f"{where} holds {type(found).__name__}, not a conversation.", todo=todo)
    return found
