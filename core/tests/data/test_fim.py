"""Laws of filling in the middle, each of which rejects renderings that are wrong in its way."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nanoplug.conformance.tokenizer_reference import ReferenceTokenizer
from nanoplug.contracts import Tokenizer
from nanoplug.data import fim
from nanoplug.data.fim import FimRendering
from nanoplug.data.fim_pairs import Pair, Pairs
from nanoplug.data.fim_tokens import FimTokens
from nanoplug.data.loader import TrainLoader
from nanoplug.data.rendering import DocumentKey, PlainRendering
from nanoplug.errors import ConfigError, ContractError, DataError

MakeShards = Callable[..., list[Path]]
Rows = list[list[NDArray[np.int32]]]

CODE = """#include <map>
namespace é {
int twice(int x) { return x + x; }

/// 漢字 { in a comment
std::string name(int n)
{
    return n > 3 ? "many {" : "few";
}
}  // namespace é
"""
PAIRS = Pairs("pairs.jsonl", (Pair("Adds one.", "int next(int x)", "    return x + 1;"), Pair("", "void f()", "")))


@frozen
class Read:
    """What a row says: its kind, and its parts as bytes."""

    kind: str
    prefix: bytes
    middle: bytes
    suffix: bytes

    @property
    def text(self) -> bytes:
        return self.prefix + self.middle + self.suffix


def read(row: Sequence[int], tokenizer: Tokenizer) -> Read:
    """The parts of a row by the layout of behaviour 7; fails where the row has none of the three."""
    row = list(map(int, row))
    named = {name: tokenizer.special[name] for name in ("<FIM_PREFIX>", "<FIM_SUFFIX>", "<FIM_MIDDLE>", "<EOS>")}
    prefix, suffix, middle, end = named.values()
    assert row[0] == tokenizer.special["<|bos|>"]
    specials = [token for token in row if token in tokenizer.special.values()]
    if len(specials) == 1:
        return Read("plain", tokenizer.decode_bytes(row), b"", b"")
    assert sorted(specials) == sorted([row[0], *named.values()])
    assert row[1] == prefix
    assert row[-1] == end
    at_s, at_m = row.index(suffix), row.index(middle)
    assert at_s < at_m
    parts = [tokenizer.decode_bytes(part) for part in (row[2:at_s], row[at_s + 1 : at_m], row[at_m + 1 : -1])]
    if at_s > 2:
        return Read("psm", parts[0], parts[2], parts[1])
    # An empty prefix of the one layout looks like the other; then the prefix and the middle are one to a reader.
    return Read("spm", b"", parts[2], parts[1])


def keys(count: int, *, epoch: int = 0) -> list[DocumentKey]:
    return [DocumentKey(epoch, n // 7, n % 7) for n in range(count)]


def render(rendering: FimRendering, texts: Sequence[str], *, row_tokens: int | None = None, epoch: int = 0) -> Rows:
    return rendering.render(texts, keys(len(texts), epoch=epoch), row_tokens=row_tokens, threads=1)


def as_lists(rows: Rows) -> list[list[list[int]]]:
    return [[piece.tolist() for piece in pieces] for pieces in rows]


def some_texts(count: int, seed: int = 1) -> list[str]:
    draw = random.Random(seed)
    parts = ("int ", "return ", "    ", "x", "é", "\n", "漢字", "🙂", "{", "}", "\r\n", "<EOS>", "e\u0301", "\x00")
    return ["".join(draw.choices(parts, k=draw.randrange(3, 60))) for _ in range(count)]


def law_parts_give_the_text_back(make: type[FimRendering], tokenizer: Tokenizer) -> None:
    texts = some_texts(150)
    for text, (row,) in zip(texts, render(make(tokenizer, fim_rate=1.0, seed=3), texts), strict=True):
        got = read(row, tokenizer)
        assert got.text == text.encode()
        for part in (got.prefix, got.middle, got.suffix):
            part.decode("utf-8")
        assert got.kind != "plain"


def law_a_middle_is_never_empty(make: type[FimRendering], tokenizer: Tokenizer) -> None:
    for (row,) in render(make(tokenizer, fim_rate=1.0, spm_rate=0.0, seed=4), some_texts(400)):
        assert row.tolist().index(tokenizer.special["<FIM_MIDDLE>"]) < len(row) - 2


def law_suffix_first_is_the_middle_behind_the_prefix(make: type[FimRendering], tokenizer: Tokenizer) -> None:
    """With the same draws, both layouts hold the same parts, in their own order."""
    texts = some_texts(60)
    rendered = [render(make(tokenizer, fim_rate=1.0, spm_rate=rate, seed=5), texts) for rate in (0.0, 1.0)]
    prefix, suffix, middle, end = (
        tokenizer.special[name] for name in ("<FIM_PREFIX>", "<FIM_SUFFIX>", "<FIM_MIDDLE>", "<EOS>")
    )
    for (psm,), (spm,) in zip(*rendered, strict=True):
        row = psm.tolist()
        at_s, at_m = row.index(suffix), row.index(middle)
        before, behind, between = row[2:at_s], row[at_s + 1 : at_m], row[at_m + 1 : -1]
        assert spm.tolist() == [row[0], prefix, suffix, *behind, middle, *before, *between, end]


def law_rates_are_met(make: type[FimRendering], tokenizer: Tokenizer) -> None:
    rates = {"fim_rate": 0.45, "structured_rate": 0.4, "spm_rate": 0.3}
    count = 3000
    rendering = make(tokenizer, pairs=PAIRS, seed=6, **rates)
    of_pairs = [render(make(tokenizer, fim_rate=0.0, structured_rate=1.0, pairs=PAIRS, seed=6), ["x"] * count)]
    pair_rows = {tuple(row.tolist()) for rows in of_pairs for (row,) in rows}
    assert len(pair_rows) == 2
    seen: Counter[str] = Counter()
    for (row,) in render(rendering, ["ab cd ef gh ij kl mn op qr st uv wx yz"] * count):
        is_pair = tuple(row.tolist()) in pair_rows
        seen["pair" if is_pair else read(row, tokenizer).kind] += 1
    # A prefix is empty in one of 38 splits, and reads as suffix first.
    spm = rates["spm_rate"] + (1 - rates["spm_rate"]) / 38
    expected = {
        "pair": rates["structured_rate"],
        "spm": rates["fim_rate"] * spm,
        "psm": rates["fim_rate"] * (1 - spm),
        "plain": 1 - rates["fim_rate"] - rates["structured_rate"],
    }
    for kind, share in expected.items():
        assert abs(seen[kind] - share * count) < 4 * math.sqrt(count * share * (1 - share)), kind


def law_splits_are_spread_over_the_text(make: type[FimRendering], tokenizer: Tokenizer) -> None:
    """The start is uniform over the characters and the end over those behind it."""
    count, length = 4000, 20
    text = "".join(chr(ord("a") + n) for n in range(length))
    starts, ends = Counter[int](), Counter[float]()
    for (row,) in render(make(tokenizer, fim_rate=1.0, spm_rate=0.0, seed=8), [text] * count):
        got = read(row, tokenizer)
        start = len(got.prefix)
        starts[start] += 1
        ends[len(got.middle) - 1] += start == 0
    for start in range(length):
        assert abs(starts[start] - count / length) < 4.5 * math.sqrt(count / length), start
    for size in range(length):
        assert ends[size] < 10 + 4.5 * count / length / length, size
    assert len([size for size in ends if ends[size]]) > length / 2


def law_a_document_is_the_same_wherever_it_is_read(make: type[FimRendering], tokenizer: Tokenizer) -> None:
    texts = some_texts(40)
    settings: dict[str, Any] = {"fim_rate": 0.5, "structured_rate": 0.2, "pairs": PAIRS, "seed": 9}
    once = as_lists(render(make(tokenizer, **settings), texts, row_tokens=32))
    other = make(tokenizer, **settings)
    order = random.Random(1).sample(range(40), 40)
    for batch in (order[:11], order[11:12], order[12:]):
        got = other.render([texts[n] for n in batch], [keys(40)[n] for n in batch], row_tokens=32, threads=2)
        assert as_lists(got) == [once[n] for n in batch]


def law_epochs_and_seeds_differ(make: type[FimRendering], tokenizer: Tokenizer) -> None:
    texts = some_texts(30)
    rendered = [
        as_lists(render(make(tokenizer, fim_rate=0.7, seed=seed), texts, epoch=epoch))
        for seed, epoch in ((1, 0), (1, 1), (2, 0))
    ]
    for n, one in enumerate(rendered):
        for other in rendered[n + 1 :]:
            assert sum(a != b for a, b in zip(one, other, strict=True)) > 15


def law_documents_differ(make: type[FimRendering], tokenizer: Tokenizer) -> None:
    rows = render(make(tokenizer, fim_rate=1.0, seed=1), ["abcdefghijklmnopqrstuvwxyz"] * 50)
    assert len({row.tobytes() for (row,) in rows}) > 25


def law_long_documents_are_cut_before_they_are_split(make: type[FimRendering], tokenizer: Tokenizer) -> None:
    texts = [CODE * 3, "é" * 300, "\n" * 200, "x" * 31, *some_texts(40)]
    for text, pieces in zip(texts, render(make(tokenizer, fim_rate=1.0, seed=2), texts, row_tokens=40), strict=True):
        assert all(len(piece) <= 40 for piece in pieces)
        got = [read(piece, tokenizer) for piece in pieces]
        assert b"".join(part.text for part in got) == text.encode()
        assert {part.kind for part in got if len(part.text) > 1} <= {"psm", "spm"}


LAWS = [
    law_parts_give_the_text_back,
    law_a_middle_is_never_empty,
    law_suffix_first_is_the_middle_behind_the_prefix,
    law_rates_are_met,
    law_splits_are_spread_over_the_text,
    law_a_document_is_the_same_wherever_it_is_read,
    law_epochs_and_seeds_differ,
    law_documents_differ,
    law_long_documents_are_cut_before_they_are_split,
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law: Callable[..., None], fim_tokenizer: Tokenizer) -> None:
    law(FimRendering, fim_tokenizer)


class SplitsBytes(FimRendering):
    def _split(self, part: Any, turn: int) -> Any:
        data, draws = part.text.encode(), fim._Draws(self._seed, part.key)
        start = draws.below(len(data))
        return fim._Split(data[:start], data[start : start + 1], data[start + 1 :], False)


class EmptyMiddles(FimRendering):
    def _split(self, part: Any, turn: int) -> Any:
        at = fim._Draws(self._seed, part.key).below(len(part.text) + 1)
        return fim._Split(part.text[:at], "", part.text[at:], False)


class ShortMiddles(FimRendering):
    def _split(self, part: Any, turn: int) -> Any:
        at = fim._Draws(self._seed, part.key).below(len(part.text))
        return fim._Split(part.text[:at], part.text[at : at + 1], part.text[at + 1 :], False)


class FixedIds(FimRendering):
    def __init__(self, tokenizer: Tokenizer, **settings: Any) -> None:
        super().__init__(tokenizer, **settings)
        self._tokens = FimTokens(self._tokens.bos, prefix=4, suffix=6, middle=5, end=3)


class OtherSpm(FimTokens):
    def prompt(self, prefix: Sequence[int], suffix: Sequence[int], *, spm: bool) -> list[int]:
        if not spm:
            return super().prompt(prefix, suffix, spm=False)
        return [self.bos, self.suffix, *suffix, self.prefix, *prefix, self.middle]


class PrefixBehindSpm(FimTokens):
    def row(self, prefix: Sequence[int], middle: Sequence[int], suffix: Sequence[int], *, spm: bool) -> list[int]:
        if not spm:
            return super().row(prefix, middle, suffix, spm=False)
        return [self.bos, self.prefix, self.suffix, *suffix, self.middle, *middle, *prefix, self.end]


class NoEnd(FimTokens):
    def row(self, prefix: Sequence[int], middle: Sequence[int], suffix: Sequence[int], *, spm: bool) -> list[int]:
        return super().row(prefix, middle, suffix, spm=spm)[:-1]


def with_tokens(tokens: type[FimTokens]) -> type[FimRendering]:
    class Made(FimRendering):
        def __init__(self, tokenizer: Tokenizer, **settings: Any) -> None:
            super().__init__(tokenizer, **settings)
            self._tokens = tokens.of(tokenizer)

    return Made


class DrawsTwice(FimRendering):
    """A share of the documents that no pair replaced is split, instead of a share of all."""

    def __init__(self, tokenizer: Tokenizer, **settings: Any) -> None:
        super().__init__(tokenizer, **settings)
        self._rates = {**self._rates, "fim_rate": self._rates["fim_rate"] * (1 - self._rates["fim_structured_rate"])}


def with_draws(key_of: Callable[[DocumentKey, list[int]], DocumentKey]) -> type[FimRendering]:
    """Random choices by something else than the document."""

    class Made(FimRendering):
        def render(self, texts: Any, keys: Any, **how: Any) -> Rows:
            return super().render(texts, [key_of(key, CALLS) for key in keys], **how)

    return Made


CALLS: list[int] = []


def counted(key: DocumentKey, calls: list[int]) -> DocumentKey:
    calls.append(0)
    return DocumentKey(0, 0, len(calls))


class CutsRows(FimRendering):
    def render(self, texts: Any, keys: Any, *, row_tokens: int | None, threads: int) -> Rows:
        whole = super().render(texts, keys, row_tokens=None, threads=threads)
        size = row_tokens or 10**9
        return [[row[at : at + size] for (row,) in [rows] for at in range(0, len(row), size)] for rows in whole]


class LeavesLongOnes(FimRendering):
    def render(self, texts: Any, keys: Any, *, row_tokens: int | None, threads: int) -> Rows:
        plain = PlainRendering(self._tokenizer).render(texts, keys, row_tokens=row_tokens, threads=threads)
        whole = super().render(texts, keys, row_tokens=None, threads=threads)
        fits = [row_tokens is None or len(rows[0]) <= row_tokens for rows in whole]
        return [split if fit else left for split, left, fit in zip(whole, plain, fits, strict=True)]


WRONG = [
    (SplitsBytes, law_parts_give_the_text_back),
    (EmptyMiddles, law_a_middle_is_never_empty),
    (ShortMiddles, law_splits_are_spread_over_the_text),
    (FixedIds, law_parts_give_the_text_back),
    (with_tokens(OtherSpm), law_parts_give_the_text_back),
    (with_tokens(OtherSpm), law_suffix_first_is_the_middle_behind_the_prefix),
    (with_tokens(PrefixBehindSpm), law_parts_give_the_text_back),
    (with_tokens(NoEnd), law_parts_give_the_text_back),
    (DrawsTwice, law_rates_are_met),
    (with_draws(counted), law_a_document_is_the_same_wherever_it_is_read),
    (with_draws(lambda key, _: DocumentKey(0, key.group, key.row)), law_epochs_and_seeds_differ),
    (with_draws(lambda key, _: DocumentKey(key.epoch, 0, 0)), law_documents_differ),
    (CutsRows, law_long_documents_are_cut_before_they_are_split),
    (LeavesLongOnes, law_long_documents_are_cut_before_they_are_split),
]


@pytest.mark.parametrize(("wrong", "law"), WRONG, ids=lambda value: value.__name__)
def test_a_wrong_rendering_is_rejected(
    wrong: type[FimRendering], law: Callable[..., None], fim_tokenizer: Tokenizer
) -> None:
    with pytest.raises((AssertionError, ValueError)):
        law(wrong, fim_tokenizer)


@given(
    text=st.text(st.characters(codec="utf-8"), max_size=80),
    row=st.integers(0, 10**9),
    row_tokens=st.none() | st.integers(21, 60),
    spm_rate=st.sampled_from([0.0, 1.0]),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_comes_back_byte_for_byte(
    text: str, row: int, row_tokens: int | None, spm_rate: float, fim_tokenizer: Tokenizer
) -> None:
    rendering = FimRendering(fim_tokenizer, fim_rate=1.0, spm_rate=spm_rate, function_rate=0.3, seed=1)
    (rows,) = rendering.render([text], [DocumentKey(0, 0, row)], row_tokens=row_tokens, threads=1)
    assert b"".join(read(row, fim_tokenizer).text for row in rows) == text.encode()
    assert all(len(row) <= (row_tokens or len(row)) for row in rows)


def test_two_renderings_of_no_rate_are_plain(fim_tokenizer: Tokenizer) -> None:
    texts = ["", CODE, *some_texts(30)]
    for row_tokens in (None, 30):
        plain = PlainRendering(fim_tokenizer).render(texts, keys(32), row_tokens=row_tokens, threads=1)
        got = render(FimRendering(fim_tokenizer, fim_rate=0.0, seed=1), texts, row_tokens=row_tokens)
        assert as_lists(got) == as_lists(plain)


@pytest.mark.parametrize("text", ["", "x", "int ", "漢字"])
def test_fewer_than_two_tokens_stay_plain(text: str, fim_tokenizer: Tokenizer) -> None:
    ((row,),) = render(FimRendering(fim_tokenizer, fim_rate=1.0, seed=1), [text])
    assert row.tolist() == [fim_tokenizer.special["<|bos|>"], *fim_tokenizer.encode(text)]


def test_pairs_take_the_place_of_documents_prefix_first(fim_tokenizer: Tokenizer) -> None:
    rendering = FimRendering(fim_tokenizer, fim_rate=0.0, structured_rate=1.0, spm_rate=1.0, pairs=PAIRS, seed=1)
    got = {read(row, fim_tokenizer) for (row,) in render(rendering, ["left out"] * 40)}
    assert got == {
        Read("psm", b"/** Adds one. */\nint next(int x) {", b"\n    return x + 1;\n", b"\n}"),
        Read("psm", b"/**  */\nvoid f() {", b"\n\n", b"\n}"),
    }


def test_a_pair_longer_than_a_row_is_passed_over(fim_tokenizer: Tokenizer) -> None:
    long, short = Pair("d" * 60, "int f()", "x;"), Pair("d", "int f()", "y;")
    settings: dict[str, Any] = {"fim_rate": 0.0, "structured_rate": 1.0, "seed": 1}
    rendering = FimRendering(fim_tokenizer, pairs=Pairs("p", (long, short, long)), **settings)
    rows = [row for (row,) in render(rendering, ["x"] * 20, row_tokens=40)]
    assert {read(row, fim_tokenizer).middle for row in rows} == {b"\ny;\n"}
    none = FimRendering(fim_tokenizer, pairs=Pairs("p.jsonl", (long,)), **settings)
    with pytest.raises(DataError, match=r"p\.jsonl: none of the 1 docstring pairs fits into 40 tokens"):
        render(none, ["x"], row_tokens=40)


def test_function_middles_are_brace_blocks(fim_tokenizer: Tokenizer) -> None:
    rendering = FimRendering(fim_tokenizer, fim_rate=1.0, function_rate=1.0, spm_rate=0.0, seed=1)
    middles = {read(row, fim_tokenizer).middle.decode() for (row,) in render(rendering, [CODE] * 60)}
    assert middles == {"{ return x + x; }", '{\n    return n > 3 ? "many {" : "few";\n}'}
    # No block of 4 to 500 tokens: random, as without.
    for text in ("int x = 3; // none", "f() {}", "f() {" + "x" * 600 + "}"):
        rows = {tuple(row.tolist()) for (row,) in render(rendering, [text] * 20)}
        assert len(rows) > 5


def test_a_share_of_function_middles(fim_tokenizer: Tokenizer) -> None:
    rendering = FimRendering(fim_tokenizer, fim_rate=1.0, function_rate=0.4, spm_rate=0.0, seed=1)
    text = "int f() { return 1; }"
    got = [read(row, fim_tokenizer).middle == b"{ return 1; }" for (row,) in render(rendering, [text] * 2000)]
    assert abs(sum(got) - 800) < 4 * math.sqrt(2000 * 0.4 * 0.6) + 20


def test_a_row_that_splits_never_fit_holds_the_text_as_its_middle(
    fim_tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "漢字" * 19  # one token each, six when cut apart
    monkeypatch.setattr(
        FimRendering, "_split", lambda self, part, turn: fim._Split(text[:1], text[1:-1], text[-1], False)
    )
    ((row,),) = render(FimRendering(fim_tokenizer, fim_rate=1.0, seed=1), [text], row_tokens=32)
    assert len(row) == 24
    assert read(row, fim_tokenizer).middle == text.encode()


def test_what_cannot_be(fim_tokenizer: Any) -> None:
    with pytest.raises(ConfigError, match="it has no <FIM_PREFIX>, <FIM_SUFFIX>, <FIM_MIDDLE>, <EOS>"):
        FimRendering(ReferenceTokenizer(), seed=1)
    for name in ("fim_rate", "spm_rate", "structured_rate", "function_rate"):
        for rate in (-0.1, 1.1, math.nan):
            with pytest.raises(ConfigError, match=rf"data\.(fim_)?{name} is"):
                FimRendering(fim_tokenizer, pairs=PAIRS, seed=1, **{"fim_rate": 0.0, name: rate})
    with pytest.raises(ConfigError, match="more than 1 together"):
        FimRendering(fim_tokenizer, fim_rate=0.6, structured_rate=0.5, pairs=PAIRS, seed=1)
    for pairs in (None, Pairs("p", ())):
        with pytest.raises(ConfigError, match="no pairs"):
            FimRendering(fim_tokenizer, structured_rate=0.1, pairs=pairs, seed=1)
    with pytest.raises(ContractError, match="too short to fill in a middle"):
        render(FimRendering(fim_tokenizer, fim_rate=1.0, seed=1), ["text"], row_tokens=12)


def test_a_tokenizer_that_loses_text(fim_tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = fim_tokenizer.encode
    monkeypatch.setattr(fim_tokenizer, "encode", lambda text: plain(" ".join(text.split())))
    with pytest.raises(ConfigError, match="do not give the text back"):
        FimRendering(fim_tokenizer, seed=1)


def test_the_identity_tells_what_decides(fim_tokenizer: Any) -> None:
    settings: dict[str, Any] = {"fim_rate": 0.4, "structured_rate": 0.2, "pairs": PAIRS, "seed": 1}
    identity = FimRendering(fim_tokenizer, **settings).identity
    assert json.loads(json.dumps(dict(identity))) == identity
    assert identity != PlainRendering(fim_tokenizer).identity
    others: list[dict[str, Any]] = [
        {"fim_rate": 0.5},
        {"spm_rate": 0.4},
        {"structured_rate": 0.1},
        {"function_rate": 0.1},
        {"seed": 2},
        {"pairs": Pairs("pairs.jsonl", PAIRS.pairs[::-1])},
    ]
    for other in others:
        assert FimRendering(fim_tokenizer, **{**settings, **other}).identity != identity
    assert FimRendering(fim_tokenizer, **{**settings, "pairs": Pairs("elsewhere", PAIRS.pairs)}).identity == identity


def test_what_is_said(fim_tokenizer: Any) -> None:
    pairs = Pairs("p", PAIRS.pairs, comment_ends=3)
    assert FimRendering(fim_tokenizer, fim_rate=0.5, seed=1).describe() == (
        "50 % of the training documents split to fill in (50 % suffix first)"
    )
    every = FimRendering(fim_tokenizer, fim_rate=0.4, structured_rate=0.125, function_rate=0.3, pairs=pairs, seed=1)
    assert every.describe() == (
        "40 % of the training documents split to fill in (50 % suffix first, 30 % at a brace block),"
        " 12.5 % replaced by one of 2 docstring pairs (3 left out: '*/' in the docstring)"
    )


@pytest.mark.parametrize("split", [False, True])
def test_a_loader_goes_on_as_if_it_had_not_stopped(
    split: bool, fim_tokenizer: Any, texts: list[str], make_shards: MakeShards
) -> None:
    paths = make_shards(texts)

    def loader(**changed: Any) -> TrainLoader:
        settings: dict[str, Any] = {"fim_rate": 0.5, "structured_rate": 0.2, "pairs": PAIRS, "seed": 1, **changed}
        return TrainLoader(
            paths,
            fim_tokenizer,
            batch_size=2,
            sequence_len=47,
            buffer_documents=6,
            tokenizer_batch=3,
            tokenizer_threads=1,
            split_documents=split,
            rendering=FimRendering(fim_tokenizer, **settings),
        )

    source = loader()
    batches = [next(source) for _ in range(40)]
    assert batches[-1].epoch > 0
    for cut in range(0, 36, 5):
        again = loader()
        again.load_state(json.loads(json.dumps(batches[cut].state)))
        for expected in batches[cut + 1 : cut + 4]:
            got = next(again)
            assert got.inputs_BT.tolist() == expected.inputs_BT.tolist()
            assert got.targets_BT.tolist() == expected.targets_BT.tolist()
    for changed in ({"seed": 2}, {"fim_rate": 0.4}):
        with pytest.raises(DataError, match="rendering"):
            loader(**changed).load_state(batches[0].state)
