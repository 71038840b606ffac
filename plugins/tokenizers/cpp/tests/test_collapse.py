"""The tokenizer of older checkpoints, on a made file of the older layout: its real vocabulary is not shipped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from nanoplug_tokenizer_cpp import collapse
from nanoplug_tokenizer_cpp.collapse import CollapseFactory, CollapseTokenizer
from nanoplug_tokenizer_cpp.layout import RANGES, SPECIAL

from nanoplug.errors import ContractError, DataError, PluginError

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
MERGED = (
    "pr",
    "in",
    "ter",
    "pri",
    "co",
    "un",
    "coun",
    "prin",
    "unt",
    "value",
    "my",
    "er",
    "ing",
    "foo",
    "bar",
    "total",
)
MERGES = (("p", "r"), ("i", "n"), ("pr", "in"), ("t", "er"), ("e", "r"), ("c", "o"), ("f", "oo"), ("o", "o"))


def artefact(folder: Path, size: int = 32_768) -> Path:
    names = {id: f"<{name}>" for id, name in enumerate(SPECIAL)} | {19: "<RESERVED_19>"}
    for first, words in RANGES.items():
        names |= {first + i: word for i, word in enumerate(words)}
    learned = [*LETTERS, "oo", *MERGED, "é"]
    names |= {1600 + i: text for i, text in enumerate(dict.fromkeys(learned)) if text not in names.values()}
    names = {id: names.get(id, f"<RESERVED_{id}>") for id in range(size)}
    vocab = {name: id for id, name in names.items()}
    merges = [list(pair) for pair in MERGES if "".join(pair) in vocab]
    special = [{"id": id, "content": names[id], "special": True} for id in range(20)]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    model = {"type": "BPE", "vocab": vocab, "merges": merges, "unk_token": "<UNK>", "ignore_merges": True}
    content = {"version": "1.0", "added_tokens": [{**token, **flags} for token in special], "model": model}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(content), "utf-8")
    return folder


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> CollapseTokenizer:
    return CollapseFactory().load(artefact(tmp_path_factory.mktemp("old")))


def around(tokenizer: CollapseTokenizer, text: str) -> str:
    return tokenizer.decode(tokenizer.encode(text))


@pytest.mark.parametrize(
    "text",
    [
        "#include <vector>",
        "int main(){\nreturn 0;\n}",
        "const auto& x = y;",
        "std::vector<int>",
        "a->foo.bar(x)[0];",
        "x_y __z",
        "if (x <= 3 && y != 4)",
    ],
)
def test_lexemes_are_kept(tokenizer: CollapseTokenizer, text: str) -> None:
    assert "".join(around(tokenizer, text).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        ("return   value ;", "return value;"),
        ("a :: foo ( x , 3 )", "a::foo(x, 3)"),
        ("vector < int > x", "vector<int> x"),
        ("int  * x ;", "int* x;"),
        ("x  =  y + 2 ;", "x = y + 2;"),
        ("this -> foo ++ ;", "this->foo++;"),
        ("value_total  =  0", "value_total = 0"),
        ("struct foo {\n\n} ;", "struct foo {\n\n};"),
        ("case 3 : foo ( )", "case 3: foo()"),
        ("foo ( ) { bar ; }", "foo() { bar; }"),
    ],
)
def test_spacing_rules(tokenizer: CollapseTokenizer, text: str, decoded: str) -> None:
    assert around(tokenizer, text) == decoded


def test_endings_join_their_word(tokenizer: CollapseTokenizer) -> None:
    assert len(tokenizer.encode("printer")) > 1
    assert around(tokenizer, "printer") == "printer"
    assert around(tokenizer, "value total") == "value total"


def test_special_tokens(tokenizer: CollapseTokenizer) -> None:
    assert tokenizer.special["<TOOL_RESULT>"] == tokenizer.special["<|tool_result|>"] == 19
    assert (tokenizer.special["<|bos|>"], tokenizer.special["<EOS>"], tokenizer.special["<FIM_SUFFIX>"]) == (2, 3, 6)
    chat = [tokenizer.special[f"<|{name}|>"] for name in ("user_start", "output_end")]
    assert chat == [110, 117]
    assert tokenizer.decode([2, *tokenizer.encode("int x;"), 110, 3]) == "int x;"
    assert all(tokenizer.bytes_per_token[id] == 0 for id in tokenizer.special.values())


def test_text_that_spells_a_special_token_gives_none_but_unk(tokenizer: CollapseTokenizer) -> None:
    special = set(tokenizer.special.values()) - {tokenizer.special["<UNK>"]}
    for name in tokenizer.special:
        assert special.isdisjoint(tokenizer.encode(f"x {name} y"))


def test_what_the_vocabulary_lacks_is_unk(tokenizer: CollapseTokenizer) -> None:
    assert tokenizer.encode("漢") == [tokenizer.special["<UNK>"]]
    assert tokenizer.encode(b"\xff") == [tokenizer.special["<UNK>"]]
    assert tokenizer.encode("") == []


def test_batches_and_wrong_calls(tokenizer: CollapseTokenizer) -> None:
    texts = ["int x;", "", "a->b"]
    assert tokenizer.encode_batch(texts, threads=2) == [tokenizer.encode(text) for text in texts]
    for call in (
        lambda: tokenizer.encode(None),  # type: ignore[arg-type]
        lambda: tokenizer.encode("a\ud800"),
        lambda: tokenizer.encode_batch("ab"),
        lambda: tokenizer.encode_batch(["a"], threads=0),
        lambda: tokenizer.decode([-1]),
        lambda: tokenizer.decode([tokenizer.vocab_size]),
        lambda: CollapseFactory().train(["int x;"], vocab_size=32_768),
    ):
        with pytest.raises(ContractError):
            call()


def test_saved_as_it_was(tokenizer: CollapseTokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    again = CollapseFactory().load(tmp_path)
    assert again.fingerprint == tokenizer.fingerprint
    assert again.encode("return value;") == tokenizer.encode("return value;")


def test_files_that_are_no_older_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no tokenizer\.json"):
        CollapseFactory().load(tmp_path)
    with pytest.raises(DataError, match="2,000 tokens"):
        CollapseFactory().load(artefact(tmp_path / "small", 2_000))
    path = artefact(tmp_path / "new") / "tokenizer.json"
    whole = path.read_bytes()
    for damaged in (whole[:1000], b"", b"[1]", b"{}", whole.replace(b"<PAD>", b"<QAD>"), b"\xff"):
        path.write_bytes(damaged)
        with pytest.raises(DataError):
            CollapseFactory().load(path.parent)


def test_clang_format_is_never_left_out_silently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collapse.shutil, "which", lambda name: None)
    with pytest.raises(PluginError, match="not installed"):
        CollapseFactory(clang_format=True)


@pytest.mark.skipif(shutil.which("clang-format") is None, reason="clang-format is not installed")
def test_clang_format(tmp_path: Path) -> None:
    tokenizer = CollapseFactory(clang_format=True).load(artefact(tmp_path))
    assert around(tokenizer, "int foo ( ) { return 0 ; }") == "int foo() { return 0; }"
