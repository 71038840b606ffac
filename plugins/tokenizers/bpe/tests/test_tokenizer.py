"""What only this tokenizer promises; the contract itself is held by the conformance laws."""

from __future__ import annotations

import importlib.util
import json
import random
from pathlib import Path

import pytest
from nanoplug_tokenizer_bpe.factory import MIN_VOCAB_SIZE, BpeFactory
from nanoplug_tokenizer_bpe.patterns import PATTERNS, STRETCH_CHARS
from nanoplug_tokenizer_bpe.tokenizer import FILE_NAME, SPECIAL, BpeTokenizer

from nanoplug.errors import ConfigError, ContractError, DataError

SYLLABLES = ("al", "be", "Count", "del", "ta", "vec", "tor", "Index", "oper", "size", "map", "Node", "k", "_")


def source(seed: int, lines: int = 300) -> str:
    draw = random.Random(seed)

    def name() -> str:
        return "".join(draw.choices(SYLLABLES, k=draw.randrange(1, 4)))

    def line() -> str:
        indent = "    " * draw.randrange(3)
        return f"{indent}std::{name()} {name()}_{draw.randrange(99)} = {draw.randrange(4000)};  // it's {name()}\n"

    return "".join(line() for _ in range(lines))


@pytest.fixture(scope="module", params=sorted(PATTERNS))
def tokenizer(request: pytest.FixtureRequest) -> BpeTokenizer:
    return BpeFactory(pattern=request.param).train([source(1), source(2)], vocab_size=600)


def torch_headers() -> list[Path]:
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("torch is not installed")
    return sorted((Path(spec.submodule_search_locations[0]) / "include").rglob("*.h"))


def test_every_torch_header_comes_back_byte_for_byte(tokenizer: BpeTokenizer) -> None:
    headers = torch_headers()
    assert len(headers) > 1000
    for path in headers:
        if path.parent.name == "ops":  # some 7,000 alike
            continue
        data = path.read_bytes()
        ids = tokenizer.encode(data)
        assert tokenizer.decode_bytes(ids) == data, path
        assert sum(map(tokenizer.bytes_per_token.__getitem__, ids)) == len(data), path


def test_ids_are_merges_by_rank_and_then_the_nine_special_tokens(tokenizer: BpeTokenizer) -> None:
    assert tokenizer.vocab_size == 600 == len(tokenizer.bytes_per_token)
    assert list(tokenizer.special) == list(SPECIAL)
    assert list(tokenizer.special.values()) == list(range(591, 600))
    assert sorted(tokenizer.decode_bytes([id]) for id in range(256)) == [bytes([byte]) for byte in range(256)]


def test_merges_make_text_shorter(tokenizer: BpeTokenizer) -> None:
    text = source(3)
    assert len(text) > 2.5 * len(tokenizer.encode(text))


def test_gpt4_pattern_takes_digits_in_twos() -> None:
    tokenizer = BpeFactory().train(["1234 " * 500 + source(4)], vocab_size=400)
    pieces = [tokenizer.decode_bytes([id]) for id in tokenizer.encode("1234")]
    assert pieces == [b"12", b"34"]


def test_code_pattern_joins_line_ends_with_indentation() -> None:
    text = "if (a) {\n    return b;\n    }\n" * 50 + source(5)
    tokenizer = BpeFactory(pattern="code").train([text], vocab_size=400)
    assert b";\n    " in [tokenizer.decode_bytes([id]) for id in range(256, 391)]


@pytest.mark.parametrize("char", [" ", "\n", "x", "/", "é", " \t"])
def test_a_million_equal_characters(tokenizer: BpeTokenizer, char: str) -> None:
    text = "a" + char * (1_000_000 // len(char)) + "b"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    BpeFactory().train([text, source(1)], vocab_size=300)


def test_damaged_bytes_in_a_long_text(tokenizer: BpeTokenizer) -> None:
    draw = random.Random(7)
    data = (b"int x; \xff\xfe caf\xc3\xa9 \xc3 \xed\xa0\x80 " + draw.randbytes(5)) * (STRETCH_CHARS // 16)
    assert tokenizer.decode_bytes(tokenizer.encode(data)) == data


def test_valid_bytes_give_the_ids_of_their_text(tokenizer: BpeTokenizer) -> None:
    text = source(8) + "é漢字🎉\r\n\t"
    assert tokenizer.encode(text.encode()) == tokenizer.encode(text)


def test_too_small_a_vocabulary() -> None:
    with pytest.raises(ContractError, match="at least 265"):
        BpeFactory().train([source(1)], vocab_size=MIN_VOCAB_SIZE - 1)
    assert BpeFactory().train([source(1)], vocab_size=MIN_VOCAB_SIZE).vocab_size == MIN_VOCAB_SIZE


def test_too_little_text_says_what_is_reached() -> None:
    with pytest.raises(DataError) as caught:
        BpeFactory().train(["hello hello"], vocab_size=400)
    assert "merges for 270 tokens only" in str(caught.value)
    assert "Ask for at most 270 tokens" in str(caught.value)
    assert BpeFactory().train(["hello hello"], vocab_size=270).vocab_size == 270


def test_unknown_pattern() -> None:
    with pytest.raises(ConfigError, match="did you mean 'code'"):
        BpeFactory(pattern="cod")


def test_a_failing_source_of_texts_is_not_hidden() -> None:
    def texts():  # type: ignore[no-untyped-def]
        yield source(1)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        BpeFactory().train(texts(), vocab_size=300)


def test_a_saved_tokenizer_keeps_its_pattern(tmp_path: Path, tokenizer: BpeTokenizer) -> None:
    tokenizer.save(tmp_path / "new")
    again = BpeFactory().load(tmp_path / "new")
    assert again.fingerprint == tokenizer.fingerprint
    assert again.encode(source(9)) == tokenizer.encode(source(9))


def test_missing_and_damaged_files(tmp_path: Path, tokenizer: BpeTokenizer) -> None:
    with pytest.raises(DataError, match=r"holds no bpe\.json"):
        BpeFactory().load(tmp_path)
    tokenizer.save(tmp_path)
    path = tmp_path / FILE_NAME
    whole = path.read_text()
    content = json.loads(whole)
    content["tokens"][300], content["tokens"][301] = content["tokens"][301], content["tokens"][300]
    swapped, other = json.dumps(content), json.dumps({"format": "other"})
    for damaged in (whole[: len(whole) // 2], "", "[1]", "\x00\xff", other, swapped):
        path.write_bytes(damaged.encode("latin-1"))
        with pytest.raises(DataError, match=r"is damaged|has format"):
            BpeFactory().load(tmp_path)
