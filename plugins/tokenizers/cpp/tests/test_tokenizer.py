"""What only this tokenizer promises; the contract itself is held by the conformance laws."""

from __future__ import annotations

import json
import random
import re
from itertools import accumulate
from pathlib import Path

import pytest
import tokenizers
from nanoplug_tokenizer_cpp import engines
from nanoplug_tokenizer_cpp.factory import CppFactory
from nanoplug_tokenizer_cpp.layout import ALIASES, FIRST_LEARNED, LINE_LAYOUT, SPECIAL_IDS, WORD_LAYOUT
from nanoplug_tokenizer_cpp.patterns import LINES, STRETCH_CHARS, WORDS, stretches
from nanoplug_tokenizer_cpp.startup_check import knows_cpp
from nanoplug_tokenizer_cpp.tokenizer import FILE_NAME, VOCABULARY_FILE, CppTokenizer

from nanoplug.errors import ConfigError, ContractError, DataError, PluginError

STEMS = ("alpha", "Count", "index", "node", "Map", "value", "printer", "int128", "k", "constant", "x_size", "Vec")
TYPES = ("int", "const auto&", "std::vector<int>", "static constexpr size_t", "unsigned", "std::string")
SHAPES = (
    "{t} {n} = {n}({d}, 0x{d:x}); // the {n} of a {n}\n",
    "for (int i = 0; i < {d}; ++i) {{\n        {n}.push_back({n}[i] + {d}.5f);\n    }}\n",
    "if ({n} == nullptr || !{n}->{n}()) {{\n        return false;\n    }}\n\n",
    '#include "{n}/{n}.h"\n',
    "template <typename T>\nclass {n} final : public {n} {{\n public:\n  {n}() = default;\n}};\n\n",
    "/** {n}\n * @param {n} {d} times\n */\n",
)


def cpp_source(seed: int, lines: int) -> str:
    draw = random.Random(seed)

    def name() -> str:
        return "".join(draw.choices(STEMS, k=draw.randrange(1, 3)))

    def line() -> str:
        shape = draw.choice(SHAPES)
        names = iter([name() for _ in range(8)])
        filled = shape.replace("{n}", "\0").format(t=draw.choice(TYPES), d=draw.randrange(3000))
        return "    " * draw.randrange(2) + "".join(next(names) if c == "\0" else c for c in filled)

    return "".join(line() for _ in range(lines))


@pytest.fixture(scope="module")
def source() -> str:
    return cpp_source(99, 120)


@pytest.fixture(scope="module", params=[False, True], ids=["words", "superwords"])
def superwords(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(scope="module")
def tokenizer(superwords: bool) -> CppTokenizer:
    return CppFactory(superwords=superwords).train([cpp_source(seed, 400) for seed in range(3)], vocab_size=3000)


PARTS = (
    *(
        "const",
        "int",
        "return",
        "std::vector<",
        "printer",
        "1024",
        "0xFF",
        ".55",
        "1e+5",
        "1'000",
        "x_",
        "Foo",
        "//",
        "*/",
    ),
    *(
        " ",
        "  ",
        "\t",
        "\n",
        "\r\n",
        "\n    ",
        "\n\n",
        ";",
        "{",
        "}",
        "(",
        ")",
        "->",
        "::",
        "...",
        "#",
        "##",
        "#include",
    ),
    *(
        "<EOS>",
        "<|bos|>",
        " <PAD>",
        "<RESERVED_1599>",
        'R"x(',
        ')x"',
        "??/",
        "é",
        "漢",
        "🎉",
        "\u00a0",
        "\u2028",
        "\x00",
    ),
    *("\x7f", "\\", "'", '"', "_", "a", "9", "e\u0301", "\ufeff", "\v", "\f", "\x85"),
)


def fuzz(seed: int, count: int, longest: int) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices(PARTS, k=draw.randrange(1, longest))) for _ in range(count)]


def test_random_bytes_come_back(tokenizer: CppTokenizer) -> None:
    draw = random.Random(1)
    for _ in range(2000):
        data = draw.randbytes(draw.randrange(60))
        ids = tokenizer.encode(data)
        assert tokenizer.decode_bytes(ids) == data
        assert sum(map(tokenizer.bytes_per_token.__getitem__, ids)) == len(data)


def test_random_code_comes_back_and_gives_no_special_id(tokenizer: CppTokenizer) -> None:
    special = {id for id, length in enumerate(tokenizer.bytes_per_token) if length == 0}
    assert special >= set(tokenizer.special.values())
    for text in fuzz(2, 1500, 25):
        ids = tokenizer.encode(text)
        assert tokenizer.decode_bytes(ids) == text.encode()
        assert special.isdisjoint(ids)


@pytest.mark.parametrize("unit", [" ", "\n", "x", "/", "/ ", "});\n  ", "a.b::c->", "1'", "é", "漢\n", " \t", "x y"])
def test_endless_runs(tokenizer: CppTokenizer, unit: str) -> None:
    text = "a" + unit * (200_000 // len(unit)) + "b"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_no_engine_gives_other_ids(tokenizer: CppTokenizer, source: str, tmp_path: Path, superwords: bool) -> None:
    if "fastokens" not in engines.ENGINES or engines.importlib.util.find_spec("fastokens") is None:
        pytest.skip("fastokens has no wheel for this machine")
    tokenizer.save(tmp_path)
    fast, plain = (
        CppFactory(superwords=superwords, engine=name).load(tmp_path) for name in ("fastokens", "tokenizers")
    )
    assert (fast.engine, plain.engine) == ("fastokens", "tokenizers")
    assert fast.fingerprint == plain.fingerprint
    texts: list[str | bytes] = [source, source * 8, *fuzz(3, 800, 40), *fuzz(4, 4, 9000)]
    texts += [random.Random(5).randbytes(50) for _ in range(200)]
    texts += ["});\n  " * 10_000, "/ " * 9000, "ab" * 9000, " " * 40_000]
    for text in texts:
        assert fast.encode(text) == plain.encode(text), text[:80]


def test_the_file_is_one_of_the_tokenizers_library(tokenizer: CppTokenizer, source: str, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    library = tokenizers.Tokenizer.from_file(str(tmp_path / VOCABULARY_FILE))
    assert library.get_vocab_size() == tokenizer.vocab_size
    for text in (source, source * 6, *fuzz(6, 300, 30)):
        ids = library.encode(text, add_special_tokens=False).ids
        assert ids == tokenizer.encode(text)
        assert library.decode(ids, skip_special_tokens=False) == text


def fixed_ids(superwords: bool) -> dict[int, bytes]:
    layout = LINE_LAYOUT if superwords else WORD_LAYOUT
    return {id: token for id, token in enumerate(layout.tokens) if token in layout.whole_only}


def test_fixed_words_are_whole_lexemes(tokenizer: CppTokenizer, superwords: bool) -> None:
    fixed = fixed_ids(superwords)
    words = [word.decode() for word in fixed.values()]
    draw = random.Random(7)
    near = ("x", "_", "9", "X", "é", "0x", "1.", "'", "1'", ".", "e+", "")
    texts = [draw.choice(near) + draw.choice(words) + draw.choice(near) for _ in range(3000)]
    texts += [*fuzz(8, 800, 20), cpp_source(5, 150), "#include_next", "#elsewhere", "constint", "intint x", "64 64.64"]
    found = 0
    for text in texts:
        data = text.encode()
        lexemes = {match.span() for match in re.finditer(rb"#?[A-Za-z_\x80-\xff][\w\x80-\xff]*", data)}
        lexemes |= {match.span() for match in re.finditer(rb"\.?[0-9](?:[eEpP][+-]|'?[\w\x80-\xff]|\.)*", data)}
        ids = tokenizer.encode(text)
        ends = list(accumulate(tokenizer.bytes_per_token[id] for id in ids))
        for id, end in zip(ids, ends, strict=True):
            if id in fixed and id not in tokenizer.special.values() and len(fixed[id]) > 1:
                start = end - len(fixed[id])
                hashless = start - 1 if data[start - 1 : start] == b"#" else start
                assert {(start, end), (hashless, end)} & lexemes, (text, fixed[id])
                found += 1
    assert found > (5 if superwords else 300)


@pytest.mark.parametrize("text", ["printer", "1024", "0xFF", "intptr", "re_turn1", ".25f", "std_vector", "a1024b"])
def test_no_fixed_word_inside_a_longer_one(tokenizer: CppTokenizer, superwords: bool, text: str) -> None:
    assert fixed_ids(superwords).keys().isdisjoint(tokenizer.encode(text))


def test_every_fixed_word_alone_is_its_id(tokenizer: CppTokenizer, superwords: bool) -> None:
    for id, word in fixed_ids(superwords).items():
        if word not in (b"a/", b"b/"):  # two pieces of text: no id is given for them, and theirs are kept
            assert tokenizer.encode(word) == [id]


def test_every_learned_token_can_be_reached(tokenizer: CppTokenizer, superwords: bool) -> None:
    """A token whose bytes are one piece of text is what they encode to."""
    pattern = re.compile(LINES if superwords else WORDS)
    missed = []
    for id in range(FIRST_LEARNED, tokenizer.vocab_size):
        token = tokenizer.decode_bytes([id])
        piece = pattern.match(token.decode(errors="replace"))
        if piece and piece.group().encode() == token and tokenizer.encode(token) != [id]:
            missed.append(token)
    assert not missed


def test_the_fixed_ids_are_where_the_layout_says(tokenizer: CppTokenizer) -> None:
    def id_of(word: str) -> int:
        (id,) = tokenizer.encode(word)
        return id

    expected = {"auto": 20, "undef": 109, "#include": 180, "{": 220, "'": 250, "7": 527, "\n": 1536, "class": 50}
    assert {word: id_of(word) for word in expected} == expected
    names = {"<PAD>": 0, "<EOS>": 3, "<FIM_PREFIX>": 4, "<FIM_MIDDLE>": 5, "<FIM_SUFFIX>": 6, "<TOOL_RESULT>": 19}
    assert {name: tokenizer.special[name] for name in names} == names
    assert [tokenizer.special[name] for name in ("<|user_start|>", "<|output_end|>")] == [110, 117]
    assert all(tokenizer.special[alias] == tokenizer.special[name] for alias, name in ALIASES.items())
    singles = [id for id in range(FIRST_LEARNED) if tokenizer.bytes_per_token[id] == 1]
    assert sorted(tokenizer.decode_bytes([id]) for id in singles) == [bytes([byte]) for byte in range(256)]


def test_fixed_names_and_numbers() -> None:
    expected = {320: b"std", 324: b"cout", 335: b"vector", 520: b"0", 1519: b"999", 120: b"::", 149: b"*/", 1520: b"@@"}
    assert {id: WORD_LAYOUT.tokens[id] for id in expected} == expected
    assert len(set(WORD_LAYOUT.tokens)) == FIRST_LEARNED - len(set(SPECIAL_IDS.values())) - 31 + 1


def test_cutting_into_stretches_changes_no_id(tokenizer: CppTokenizer, source: str, tmp_path: Path) -> None:
    text = (source + "\n  // only a comment\n\n" + source.replace("\n", "\r\n")) * 6
    parts = list(stretches(text))
    assert "".join(parts) == text
    assert len(parts) > 3
    assert max(map(len, parts)) <= STRETCH_CHARS
    tokenizer.save(tmp_path)
    library = tokenizers.Tokenizer.from_file(str(tmp_path / VOCABULARY_FILE))
    assert [id for part in parts for id in library.encode(part).ids] == library.encode(text).ids


def test_knows_cpp(tokenizer: CppTokenizer) -> None:
    assert knows_cpp(tokenizer)


def test_superwords_cross_words(tokenizer: CppTokenizer, superwords: bool) -> None:
    crossing = [
        id
        for id in range(FIRST_LEARNED, tokenizer.vocab_size)
        if re.search(rb"\w[ ]\w+[^\w]+\w", tokenizer.decode_bytes([id]))
    ]
    assert bool(crossing) == superwords
    assert (
        max(len(tokenizer.decode_bytes([id]).split(b"\n")[0].decode(errors="ignore")) for id in crossing or [0]) <= 64
    )


def test_superwords_make_text_shorter(source: str) -> None:
    texts = [cpp_source(seed, 400) for seed in range(3)]
    plain, crossing = (CppFactory(superwords=on).train(texts, vocab_size=3000) for on in (False, True))
    assert len(crossing.encode(source)) < 0.9 * len(plain.encode(source))
    assert crossing.fingerprint != plain.fingerprint


def test_too_small_a_vocabulary() -> None:
    with pytest.raises(ContractError, match="at least 1600"):
        CppFactory().train([cpp_source(1, 10)], vocab_size=FIRST_LEARNED - 1)
    assert CppFactory().train([cpp_source(1, 10)], vocab_size=FIRST_LEARNED).vocab_size == FIRST_LEARNED


def test_too_little_text_says_what_is_reached() -> None:
    with pytest.raises(DataError, match="has merges for") as caught:
        CppFactory().train(["hello hello, hello"], vocab_size=4000)
    found = re.search(r"at most (\d+) tokens", str(caught.value))
    assert found is not None
    most = int(found.group(1))
    assert CppFactory().train(["hello hello, hello"], vocab_size=most).vocab_size == most


def test_too_little_text_for_superwords() -> None:
    with pytest.raises(DataError, match="Train on more text"):
        CppFactory(superwords=True).train(["hello hello, hello"], vocab_size=1600)


def test_unknown_and_missing_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="did you mean 'tokenizers'"):
        CppFactory(engine="tokeniser")
    monkeypatch.setattr(engines, "_installed", lambda name: name == "tokenizers")
    with pytest.raises(PluginError, match="pip install fastokens"):
        CppFactory(engine="fastokens")
    assert CppFactory().train([cpp_source(1, 50)], vocab_size=1700).engine == "tokenizers"


def test_missing_and_damaged_files(tmp_path: Path, tokenizer: CppTokenizer) -> None:
    with pytest.raises(DataError, match=r"holds no cpp\.json"):
        CppFactory().load(tmp_path)
    tokenizer.save(tmp_path)
    for name in (FILE_NAME, VOCABULARY_FILE):
        path = tmp_path / name
        whole = path.read_bytes()
        content = json.loads(whole)
        content["format"] = "other"
        swapped = whole.replace(b"<EOS>", b"<SOS>", 1)
        for damaged in (whole[: len(whole) // 2], b"", b"[1]", b"\x00\xff", json.dumps(content).encode(), swapped):
            path.write_bytes(damaged)
            with pytest.raises(DataError, match=r"damaged|has format"):
                CppFactory().load(tmp_path)
        path.unlink()
        with pytest.raises(DataError, match="holds no"):
            CppFactory().load(tmp_path)
        path.write_bytes(whole)
    assert CppFactory().load(tmp_path).fingerprint == tokenizer.fingerprint
