"""Special tokens under nanoplug's names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nanoplug_tokenizer_hf.factory import HfFactory
from nanoplug_tokenizer_hf.names import CHAT, FIM, FIM_NAMES

from nanoplug.data.conversations import ConversationRendering
from nanoplug.errors import DataError

Made = Callable[..., Path]


@pytest.mark.parametrize(
    ("special", "config", "leads"),
    [
        (["<|endoftext|>", "<s>"], {}, "<s>"),
        (["<|endoftext|>", "<s>"], {"bos_token": "<|endoftext|>"}, "<|endoftext|>"),
        (["<|endoftext|>", "<a>"], {"bos_token": {"content": "<a>", "lstrip": False}}, "<a>"),
        (["<|endoftext|>", "<a>"], {"bos_token": None}, "<|endoftext|>"),
        (["<|begin_of_text|>", "<|end_of_text|>"], {}, "<|begin_of_text|>"),
        (["<｜begin▁of▁sentence｜>"], {}, "<｜begin▁of▁sentence｜>"),
    ],
)
def test_what_leads_documents(made: Made, special: list[str], config: dict[str, Any], leads: str) -> None:
    tokenizer = HfFactory().load(made("byte_level", *special, **config))
    assert tokenizer.special["<|bos|>"] == tokenizer.special[leads] == special.index(leads)
    assert tokenizer.bytes_per_token[tokenizer.special["<|bos|>"]] == 0


def test_a_wish_comes_first_and_makes_the_token_special(made: Made) -> None:
    folder = made("byte_level", "<s>", "<a>", bos_token="<s>")
    assert HfFactory(bos="<a>").load(folder).special["<|bos|>"] == 1
    ordinary = HfFactory(bos="int").load(folder)
    id = ordinary.special["<|bos|>"]
    assert id not in ordinary.encode("int x; int")
    assert ordinary.decode(ordinary.encode("int x; int")) == "int x; int"
    assert ordinary.decode_bytes([id]) == b""
    with pytest.raises(DataError, match="no token '<b>' to lead documents") as caught:
        HfFactory(bos="<b>").load(folder)
    assert "--option bos=NAME; its special tokens are <a> <s>" in str(caught.value)


def test_no_usual_name(made: Made) -> None:
    with pytest.raises(DataError, match="is not stated, and none has a usual name") as caught:
        HfFactory().load(made("byte_level", "<odd>"))
    assert "--option bos=NAME; its special tokens are <odd>" in str(caught.value)
    with pytest.raises(DataError, match="is stated to be '<gone>', which is no added token"):
        HfFactory().load(made("byte_level", "<odd>", bos_token="<gone>"))


@pytest.mark.parametrize("names", FIM_NAMES, ids=lambda names: names[0])
def test_fill_in_the_middle(made: Made, names: tuple[str, str, str]) -> None:
    def not_special(content: dict[str, Any]) -> None:  # as in some published files
        for token in content["added_tokens"]:
            token["special"] = token["content"] not in names

    tokenizer = HfFactory().load(made("byte_level", "<s>", "</s>", *names, change=not_special))
    assert [tokenizer.special[name] for name in FIM] == [2, 3, 4]
    assert tokenizer.special["<EOS>"] == 1
    text = f"a{names[0]}b {names[1]}\n{names[2]}"
    assert not {2, 3, 4} & {*tokenizer.encode(text)}
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_two_of_three_are_no_fill_in_the_middle(made: Made) -> None:
    tokenizer = HfFactory().load(made("byte_level", "<s>", "<PRE>", "<SUF>"))
    assert not {*FIM} & {*tokenizer.special}


def test_where_the_end_is_stated(made: Made) -> None:
    tokenizer = HfFactory().load(made("byte_level", "<s>", "<|endoftext|>", "<stop>", eos_token="<stop>"))
    assert tokenizer.special["<EOS>"] == 2


def test_what_it_lacks_can_be_added(made: Made, tmp_path: Path) -> None:
    folder = made("byte_level", "<s>", "<|user_start|>", eos_token="<s>")
    plain, chat = HfFactory().load(folder), HfFactory(chat=True).load(folder)
    assert chat.vocab_size == plain.vocab_size + 7
    assert chat.special["<|user_start|>"] == 1
    assert sorted(chat.special[name] for name in CHAT if name != "<|user_start|>") == [*range(600, 607)]
    both = HfFactory(chat=True, fim=True).load(folder)
    assert [both.special[name] for name in (*FIM, "<EOS>")] == [607, 608, 609, 0]
    text = "".join((*CHAT, *FIM)) + "int x;"
    assert not {*both.special.values()} & {*both.encode(text)}
    assert both.decode(both.encode(text)) == text
    assert plain.encode("int x;") == both.encode("int x;")
    both.save(tmp_path / "saved")
    assert HfFactory().load(tmp_path / "saved").special == both.special
    rendered = ConversationRendering(chat).render({"messages": [{"role": "user", "content": "int"}]})
    assert rendered.ids == (0, 1, *chat.encode("int"), chat.special["<|user_end|>"])


def test_ids_that_the_library_reads_otherwise(made: Made) -> None:
    def gap(content: dict[str, Any]) -> None:
        content["added_tokens"].append({**content["added_tokens"][0], "content": "<new>", "id": 700})

    with pytest.raises(DataError, match="reads '<new>' as id 600, the file says 700"):
        HfFactory().load(made("byte_level", "<s>", change=gap))
