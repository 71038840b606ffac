"""Conversations as tokens, with a mask of those that a model is trained to say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from nanoplug.contracts import Tokenizer
from nanoplug.data.rendering import bos_id
from nanoplug.errors import ContractError, DataError

MAX_TOKENS = 2048
ROLES = ("user", "assistant")
PARTS = ("text", "python", "python_output")
_TAGS = {
    part: (f"<|{tag}_start|>", f"<|{tag}_end|>") for part, tag in (("python", "python"), ("python_output", "output"))
}
CHAT_NAMES = (
    *(f"<|{role}_{end}|>" for role in ROLES for end in ("start", "end")),
    *(name for names in _TAGS.values() for name in names),
)


@frozen
class RenderedConversation:
    """ids: BOS first. mask: as long; 1 where the id is one that the model is trained to say."""

    ids: tuple[int, ...]
    mask: tuple[int, ...]


class ConversationRendering:
    """Renders conversations for one tokenizer. max_tokens: longest that is given.

    A conversation is `{"messages": [{"role": ..., "content": ...}, ...]}`: user and assistant in turn, the user first.
    A system message in front is put before the user's first message, a blank line between. What the assistant says is
    a string, or parts `{"type": "text" | "python" | "python_output", "text": ...}`. Content is plain text whatever it
    spells: special ids come from the structure alone.

    Raises ContractError if the tokenizer lacks a special token that conversations need.
    """

    def __init__(self, tokenizer: Tokenizer, *, max_tokens: int = MAX_TOKENS) -> None:
        if max_tokens < 2:
            raise ContractError(f"max_tokens is {max_tokens}; BOS and the start of a message need at least 2.")
        missing = [name for name in CHAT_NAMES if name not in tokenizer.special]
        if missing:
            raise ContractError(
                f"the tokenizer cannot render conversations: it has no {', '.join(missing)}.",
                todo="Use a tokenizer with these special tokens; `nanoplug tokenizer inspect FOLDER` lists them.",
            )
        self._bos = bos_id(tokenizer)
        self._tokenizer, self._max_tokens = tokenizer, max_tokens

    def render(self, conversation: Mapping[str, Any]) -> RenderedConversation:
        """The whole conversation, its end cut off where it is longer than `max_tokens`.

        Trained on are what the assistant says, the code that it runs, and the end of its message; not what the code
        puts out. Raises DataError, naming the message, if it is not such a conversation.
        """
        ids, mask = self._rendered(_turns(conversation))
        return RenderedConversation(tuple(ids[: self._max_tokens]), tuple(mask[: self._max_tokens]))

    def prime(self, conversation: Mapping[str, Any]) -> list[int]:
        """Ids up to where the assistant starts to speak, for it to go on: its last message left out.

        What is too long loses its oldest tokens behind BOS. Raises DataError as `render`, and unless the last
        message is the assistant's.
        """
        turns = _turns(conversation)
        if turns[-1][0] != "assistant":
            raise DataError(
                "a conversation to be completed must end with the assistant's message, which is left out;"
                f" the last of these {len(turns)} is the {turns[-1][0]}'s."
            )
        ids, _ = self._rendered(turns[:-1])
        ids.append(self._tokenizer.special["<|assistant_start|>"])
        return ids if len(ids) <= self._max_tokens else [self._bos, *ids[1 - self._max_tokens :]]

    def _rendered(self, turns: Sequence[tuple[str, Sequence[tuple[str, str]]]]) -> tuple[list[int], list[int]]:
        special = self._tokenizer.special
        ids, mask = [self._bos], [0]
        for role, parts in turns:
            said = int(role == "assistant")
            ids.append(special[f"<|{role}_start|>"])
            mask.append(0)
            for kind, text in parts:
                tokens = self._tokenizer.encode(text)
                if kind in _TAGS:
                    start, end = _TAGS[kind]
                    tokens = [special[start], *tokens, special[end]]
                ids += tokens
                mask += [said if kind != "python_output" else 0] * len(tokens)
            ids.append(special[f"<|{role}_end|>"])
            mask.append(said)
        return ids, mask


def _turns(conversation: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Role and parts of each message, the system's joined to the first of the user."""
    messages = conversation.get("messages") if isinstance(conversation, Mapping) else None
    if not isinstance(messages, list) or not messages:
        raise DataError('a conversation must be {"messages": [...]} with at least one message.')
    turns: list[tuple[str, list[tuple[str, str]]]] = []
    system: str | None = None
    for number, message in enumerate(messages, 1):
        if not isinstance(message, Mapping) or "role" not in message or "content" not in message:
            raise DataError(f"message {number} must have a role and a content.")
        role, content = message["role"], message["content"]
        if role == "system" and number == 1:
            system = _string(content, "the content of message 1, of the system,")
            continue
        expected = ROLES[len(turns) % 2]
        if role != expected:
            raise DataError(
                f"message {number} is from {role!r}; the {expected} is to speak there.",
                todo="user and assistant must speak in turn, the user first; only a first message may be the system's.",
            )
        if role == "assistant":
            parts = list(_parts(content, number))
        else:
            parts = [("text", _string(content, f"the content of message {number}, of the user,"))]
        if system is not None:
            parts, system = [("text", f"{system}\n\n{parts[0][1]}")], None
        turns.append((role, parts))
    if not turns:
        raise DataError("a conversation of a system message alone says nothing; a user's message must follow.")
    return turns


def _parts(content: Any, number: int) -> Iterator[tuple[str, str]]:
    if isinstance(content, str):
        yield "text", content
        return
    if not isinstance(content, list):
        raise DataError(
            f"the content of message {number}, of the assistant, must be a string or a list of parts; it is"
            f" {type(content).__name__}."
        )
    for place, part in enumerate(content, 1):
        where = f"part {place} of message {number}"
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind not in PARTS:
            raise DataError(f"{where} is of type {kind!r}; it must be {', '.join(PARTS[:-1])} or {PARTS[-1]}.")
        yield kind, _string(part.get("text"), f"the text of {where}")


def _string(content: Any, what: str) -> str:
    if not isinstance(content, str):
        raise DataError(f"{what} must be a string; it is {type(content).__name__}.")
    return content
