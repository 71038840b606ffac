"""What only this plugin promises."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nanoplug_tokenizer_hf.factory import HfFactory
from nanoplug_tokenizer_hf.files import ADDED_NAME, TOKENIZER_NAME
from nanoplug_tokenizer_hf.token_bytes import byte_alphabet
from tokenizers import Tokenizer, pre_tokenizers

from nanoplug.conformance.tokenizer_texts import CPP, cpp_source
from nanoplug.errors import ContractError, DataError

Made = Callable[..., Path]


@pytest.mark.parametrize(
    "family", ["byte_level", "prefixed", "composed", "byte_fallback", "byte_unigram", "word_piece", "unigram"]
)
def test_ids_are_those_of_the_library(made: Made, family: str) -> None:
    folder = made(family)
    library = Tokenizer.from_file(str(folder / TOKENIZER_NAME))
    tokenizer = HfFactory().load(folder)
    for text in (CPP, cpp_source(9, 50), "  cafe\u0301 漢字", "A"):
        assert tokenizer.encode(text) == library.encode(text, add_special_tokens=False).ids
        assert tokenizer.vocab_size == library.get_vocab_size()


def test_the_byte_alphabet_is_the_librarys() -> None:
    assert sorted(byte_alphabet()) == sorted(pre_tokenizers.ByteLevel.alphabet())
    library = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for byte in range(128):
        ((char, _),) = library.pre_tokenize_str(chr(byte))
        assert byte_alphabet()[char] == byte


@pytest.mark.parametrize("family", ["byte_level", "byte_fallback"])
def test_exact_ids_are_those_of_the_library_where_no_text_is_changed(made: Made, family: str) -> None:
    folder = made(family)
    as_it_is, exact = HfFactory().load(folder), HfFactory(exact=True).load(folder)
    text = "\n".join(CPP.splitlines()[1:6])
    if family == "byte_fallback":  # the space put in front belongs to the first token
        assert as_it_is.encode(text[1:]) == exact.encode(" " + text[1:])
        assert as_it_is.decode(as_it_is.encode("int")) == " int"
        assert exact.decode_bytes(exact.encode("int ▁ \xe9\u0301")) == "int ▁ \xe9\u0301".encode()
    else:
        assert as_it_is.encode(text) == exact.encode(text)


def test_bytes_are_counted_only_where_none_is_lost(made: Made) -> None:
    exact = HfFactory(exact=True).load(made("composed"))
    assert sum(exact.bytes_per_token[id] for id in exact.encode("e\u0301\u0301 x")) == len("e\u0301\u0301 x".encode())
    lossy = HfFactory().load(made("composed"))
    with pytest.raises(DataError, match=r"text is not kept: 'caf\\xe9 e\\u0301") as caught:
        _ = lossy.bytes_per_token
    assert "exact=true" in str(caught.value)


@pytest.mark.parametrize("family", ["word_piece", "unigram"])
def test_what_cannot_be_exact_is_refused(made: Made, family: str) -> None:
    with pytest.raises(DataError, match="cannot be made exact"):
        HfFactory(exact=True).load(made(family))


def test_a_model_that_spells_special_tokens_by_itself(made: Made) -> None:
    tokenizer = HfFactory().load(made("unigram"))
    engine = tokenizer._engine  # the library alone does yield it
    assert tokenizer.special["<s>"] in engine.encode("a <s> b", add_special_tokens=False).ids
    assert tokenizer.special["<s>"] not in tokenizer.encode("a <s> b")
    assert "<unk>" not in tokenizer.special


def test_cutting_filling_and_random_merging_are_left_out(made: Made) -> None:
    def change(content: dict[str, Any]) -> None:
        content["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
        content["model"]["dropout"] = 0.5

    tokenizer = HfFactory().load(made("byte_level", change=change))
    assert tokenizer.decode(tokenizer.encode(CPP)) == CPP
    assert len({tuple(tokenizer.encode(CPP)) for _ in range(5)}) == 1


def test_long_texts_and_stray_bytes(made: Made) -> None:
    tokenizer = HfFactory().load(made("byte_level"))
    for data in (b" " * 500_000, (b"int \xff\xc3( caf\xc3\xa9\xe2\x82" * 40_000)):
        ids = tokenizer.encode(data)
        assert tokenizer.decode_bytes(ids) == data
        assert sum(map(tokenizer.bytes_per_token.__getitem__, ids)) == len(data)


def test_bytes_without_a_token_are_refused_in_words(made: Made) -> None:
    def change(content: dict[str, Any]) -> None:
        content["model"]["unk_token"] = None

    tokenizer = HfFactory().load(made("word_piece"))
    assert tokenizer.encode(b"a \xff") == [*tokenizer.encode("a "), 1]  # [UNK]
    with pytest.raises(DataError, match="the tokenizers library cannot read"):
        HfFactory().load(made("word_piece", change=change))


def test_saved_files_are_the_librarys_too(made: Made, tmp_path: Path) -> None:
    tokenizer = HfFactory(exact=True).load(made("composed"))
    tokenizer.save(tmp_path / "saved")
    again = HfFactory().load(tmp_path / "saved")
    assert (again.fingerprint, again.special) == (tokenizer.fingerprint, tokenizer.special)
    library = Tokenizer.from_file(str(tmp_path / "saved" / TOKENIZER_NAME))
    assert library.encode("cafe\u0301").ids == again.encode("cafe\u0301")


def test_what_decides_ids_decides_the_fingerprint(made: Made) -> None:
    one = HfFactory().load(made("byte_level", "<s>", "<a>"))
    other_name = HfFactory(bos="<a>").load(made("byte_level", "<s>", "<a>"))
    exact = HfFactory(exact=True).load(made("byte_level", "<s>", "<a>"))
    folder = made("byte_level", "<s>", "<a>")
    path = folder / TOKENIZER_NAME
    path.write_text(json.dumps(json.loads(path.read_text()), indent=7, sort_keys=True))
    assert HfFactory().load(folder).fingerprint == one.fingerprint
    assert len({one.fingerprint, other_name.fingerprint, exact.fingerprint}) == 3


def test_missing_and_damaged_files(made: Made, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no tokenizer\.json"):
        HfFactory().load(tmp_path)
    with pytest.raises(DataError, match="is not there"):
        HfFactory().load(tmp_path / "tokenizer.json")
    folder = made("byte_level")
    foreign = folder / TOKENIZER_NAME
    whole = foreign.read_text("utf-8")
    for damaged in (whole[: len(whole) // 2], "", "[1]", "\x00\xff", "{}", '{"model": {"vocab": 1}}'):
        foreign.write_bytes(damaged.encode("latin-1", "replace"))
        with pytest.raises(DataError, match=r"is damaged|it has no model"):
            HfFactory().load(folder)
    foreign.write_text(whole, "utf-8")
    HfFactory().load(folder).save(tmp_path / "saved")
    saved = tmp_path / "saved" / TOKENIZER_NAME
    saved.write_text(saved.read_text("utf-8").replace('"dropout": null', '"dropout": 0.5'), "utf-8")
    with pytest.raises(DataError, match="do not have the fingerprint"):
        HfFactory().load(tmp_path / "saved")
    saved.unlink()
    with pytest.raises(DataError, match=r"but no tokenizer\.json"):
        HfFactory().load(tmp_path / "saved")
    (tmp_path / "saved" / ADDED_NAME).write_text('{"format": "other"}')
    with pytest.raises(DataError, match="has format 'other'"):
        HfFactory().load(tmp_path / "saved")


def test_it_trains_none() -> None:
    with pytest.raises(ContractError, match="trains none"):
        HfFactory().train(["int x;"], vocab_size=500)
