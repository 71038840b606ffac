"""`nanoplug tokenizer`: make one, use it, look at it, prove it."""

from __future__ import annotations

import click

from nanoplug.cli.tokenizer_conversation import show_conversation
from nanoplug.cli.tokenizer_make import import_tokenizer, train_tokenizer
from nanoplug.cli.tokenizer_use import decode, encode, inspect
from nanoplug.cli.tokenizer_verify import verify_tokenizer


@click.group()
def tokenizer() -> None:
    """Make a tokenizer, use it, look at it, and prove it."""


for _command in (train_tokenizer, import_tokenizer, encode, decode, inspect, show_conversation, verify_tokenizer):
    tokenizer.add_command(_command)
