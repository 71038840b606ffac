from __future__ import annotations

from typing import Any

import pytest

from nanoplug.conformance.tokenizer_reference import CHAT_SPECIAL, ReferenceTokenizer
from nanoplug.data.conversations import CHAT_NAMES, ConversationRendering, RenderedConversation
from nanoplug.errors import ContractError, DataError

TOKENIZER = ReferenceTokenizer([b"int", b"hello"])
NAMES = {id: name for name, id in TOKENIZER.special.items()}


def conversation(*messages: tuple[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in messages]}


def shown(ids: tuple[int, ...] | list[int]) -> str:
    """Text of the ids, special ones by name."""
    return "".join(NAMES.get(id) or TOKENIZER.decode([id]) for id in ids)


def trained(rendered: RenderedConversation) -> str:
    return shown([id for id, mask in zip(rendered.ids, rendered.mask, strict=True) if mask])


def test_the_names_are_those_that_tokenizers_for_chat_must_have() -> None:
    assert {"<|bos|>", *CHAT_NAMES} == set(CHAT_SPECIAL)


def test_who_speaks_and_what_is_trained_on() -> None:
    rendered = ConversationRendering(TOKENIZER).render(
        conversation(("user", "hello"), ("assistant", "int x;"), ("user", "more"), ("assistant", "y"))
    )
    assert shown(rendered.ids) == (
        "<|bos|><|user_start|>hello<|user_end|><|assistant_start|>int x;<|assistant_end|>"
        "<|user_start|>more<|user_end|><|assistant_start|>y<|assistant_end|>"
    )
    assert len(rendered.ids) == len(rendered.mask)
    assert trained(rendered) == "int x;<|assistant_end|>y<|assistant_end|>"


def test_code_is_trained_on_and_its_output_is_not() -> None:
    parts = [
        {"type": "text", "text": "a"},
        {"type": "python", "text": "1+1"},
        {"type": "python_output", "text": "2"},
        {"type": "text", "text": "b"},
    ]
    rendered = ConversationRendering(TOKENIZER).render(conversation(("user", "?"), ("assistant", parts)))
    said = "a<|python_start|>1+1<|python_end|><|output_start|>2<|output_end|>b<|assistant_end|>"
    assert shown(rendered.ids) == f"<|bos|><|user_start|>?<|user_end|><|assistant_start|>{said}"
    assert trained(rendered) == "a<|python_start|>1+1<|python_end|>b<|assistant_end|>"


def test_a_system_message_is_put_before_the_users() -> None:
    rendered = ConversationRendering(TOKENIZER).render(conversation(("system", "Be brief."), ("user", "hello")))
    assert shown(rendered.ids) == "<|bos|><|user_start|>Be brief.\n\nhello<|user_end|>"


def test_content_never_yields_special_ids() -> None:
    spelled = "".join(CHAT_SPECIAL)
    rendered = ConversationRendering(TOKENIZER).render(conversation(("user", spelled), ("assistant", spelled)))
    assert [NAMES[id] for id in rendered.ids if id in NAMES] == [
        "<|bos|>",
        *(f"<|{role}_{end}|>" for role in ("user", "assistant") for end in ("start", "end")),
    ]
    assert shown(rendered.ids).count(spelled) == 2


def test_what_is_too_long_loses_its_end_in_training_and_its_oldest_in_completion() -> None:
    rendering = ConversationRendering(TOKENIZER, max_tokens=20)
    long = conversation(("user", "a" * 30), ("assistant", "b" * 30), ("user", "the newest"), ("assistant", "?"))
    whole = ConversationRendering(TOKENIZER).render(long)
    rendered = rendering.render(long)
    assert (rendered.ids, rendered.mask) == (whole.ids[:20], whole.mask[:20])
    primed = rendering.prime(long)
    assert len(primed) == 20
    assert shown(primed).startswith("<|bos|>")
    assert shown(primed).endswith("<|assistant_end|><|user_start|>the newest<|user_end|><|assistant_start|>")


def test_a_primed_conversation_ends_where_the_assistant_is_to_speak() -> None:
    rendering = ConversationRendering(TOKENIZER)
    asked = conversation(("user", "hello"), ("assistant", "int x;"))
    assert shown(rendering.prime(asked)) == "<|bos|><|user_start|>hello<|user_end|><|assistant_start|>"
    assert asked["messages"][-1]["content"] == "int x;"
    primed, whole = rendering.prime(asked), rendering.render(asked)
    assert tuple(primed) == whole.ids[: len(primed)]
    with pytest.raises(DataError, match="must end with the assistant's message"):
        rendering.prime(conversation(("user", "hello")))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ([], "at least one message"),
        ({"messages": []}, "at least one message"),
        ({"messages": ["hello"]}, "message 1 must have a role"),
        (conversation(("assistant", "a")), "message 1 is from 'assistant'; the user is to speak"),
        (conversation(("user", "a"), ("user", "b")), "message 2 is from 'user'; the assistant is to speak"),
        (conversation(("user", "a"), ("system", "b")), "message 2 is from 'system'"),
        (conversation(("system", "a")), "a system message alone"),
        (conversation(("system", "a"), ("assistant", "b")), "message 2 is from 'assistant'; the user"),
        (conversation(("system", 1), ("user", "b")), "message 1, of the system, must be a string; it is int"),
        (conversation(("user", [{"type": "text", "text": "a"}])), "message 1, of the user, must be a string"),
        (conversation(("user", "a"), ("assistant", None)), "must be a string or a list of parts; it is NoneType"),
        (conversation(("user", "a"), ("assistant", [{"type": "cpp", "text": "x"}])), "part 1 of message 2 is of type"),
        (conversation(("user", "a"), ("assistant", ["x"])), "part 1 of message 2 is of type None"),
        (conversation(("user", "a"), ("assistant", [{"type": "text"}])), "text of part 1 of message 2 must be a str"),
    ],
)
def test_what_is_no_conversation(wrong: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        ConversationRendering(TOKENIZER).render(wrong)


def test_a_tokenizer_without_the_special_tokens() -> None:
    class Plain(ReferenceTokenizer):
        def __init__(self) -> None:
            super().__init__()
            self.special = {name: id for name, id in self.special.items() if "python" not in name}

    with pytest.raises(ContractError, match=r"it has no <\|python_start\|>, <\|python_end\|>\."):
        ConversationRendering(Plain())
    with pytest.raises(ContractError, match="at least 2"):
        ConversationRendering(TOKENIZER, max_tokens=1)
