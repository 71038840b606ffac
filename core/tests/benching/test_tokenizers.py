from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest

from nanoplug.benching.tokenizers import Entrant, TokenizerResult, measure, rows, shown
from nanoplug.conformance.tokenizer_reference import ReferenceTokenizer
from nanoplug.conformance.tokenizer_wrong import FoldsLineEnds

TEXTS = [b"int main() { return 0; }\n" * 4, b"a\r\nb", b"\xff\xfe", b"x" * 50]
TERMS = {"device": "here", "threads": 3, "rounds": 2}


class Slow(ReferenceTokenizer):
    def encode_batch(self, texts: Sequence[str | bytes], *, threads: int = 4) -> list[list[int]]:
        time.sleep(0.01)
        return super().encode_batch(texts, threads=threads)


def entrant(name: str, cls: type[ReferenceTokenizer], *words: bytes, why: str = "") -> Entrant:
    return Entrant(
        name=name,
        family="words",
        open=lambda: cls(words),
        check=lambda _: why,
        made_of={"words": "1.0"},
        fingerprint="ab",
        folder=f"runs/{name}",
    )


def measured(*entrants: Entrant, said: list[str] | None = None) -> list[TokenizerResult]:
    return measure(entrants, TEXTS, threads=2, rounds=2, say=(said if said is not None else []).append)


def test_the_shortest_comes_first_and_the_failed_last() -> None:
    said: list[str] = []
    found = measured(
        entrant("bytes", ReferenceTokenizer),
        entrant("lossy", FoldsLineEnds),
        entrant("refused", ReferenceTokenizer, why="breaks bytes add up"),
        entrant("words", ReferenceTokenizer, b"int main() { return 0; }\n"),
        said=said,
    )
    assert [result.entrant.name for result in found] == ["words", "bytes", "lossy", "refused"]
    words, alone, lossy, refused = found
    size = sum(map(len, TEXTS))
    assert (alone.tokens, alone.bytes_per_token) == (size, 1.0)
    assert words.tokens == 4 + 4 + 2 + 50
    assert words.bytes_per_token == pytest.approx(size / 60)
    assert words.round_trip
    assert lossy.failed == r"not measured: text 2 does not come back: byte 1: b'\r\nb' came back as b'\nb'"
    assert refused.failed == "not measured: breaks bytes add up"
    assert (refused.encode_mb_s, lossy.round_trip) == (None, False)
    assert said == [*(f"verifying {name}" for name in ("bytes", "lossy", "refused", "words")), said[-1]]
    assert said[-1].startswith("measuring 2 on")


def test_the_slow_one_is_slow_in_all_that_it_is_slow_in() -> None:
    quick, slow = measured(entrant("quick", ReferenceTokenizer, b"xx"), entrant("slow", Slow))
    assert quick.entrant.name == "quick"
    for result in (quick, slow):
        for speed in (result.encode_first_mb_s, result.encode_mb_s, result.encode_threads_mb_s, result.decode_mb_s):
            assert speed is not None
            assert speed > 0
    most = sum(map(len, TEXTS)) / 1e6 / 0.01
    assert max(slow.encode_first_mb_s or 0, slow.encode_mb_s or 0, slow.encode_threads_mb_s or 0) <= most
    assert (slow.decode_mb_s or 0) > most


def test_the_first_pass_is_of_one_never_used() -> None:
    opened: list[Any] = []

    class Counts(ReferenceTokenizer):
        calls = 0

        def encode_batch(self, texts: Sequence[str | bytes], *, threads: int = 4) -> list[list[int]]:
            self.calls += 1
            return super().encode_batch(texts, threads=threads)

    def opens() -> Counts:
        opened.append(Counts())
        return opened[-1]

    def check(tokenizer: Any) -> str:
        tokenizer.encode_batch(TEXTS)
        return ""

    measure([Entrant(name="a", family="b", open=opens, check=check)], TEXTS, threads=2, rounds=2, say=lambda line: None)
    assert [one.calls for one in opened] == [1, 1 + 1 + 2 * 2]


def test_rows_and_table() -> None:
    found = measured(entrant("words", ReferenceTokenizer, b"int"), entrant("lossy", FoldsLineEnds))
    row, failed = rows(found, TERMS)
    assert row["benchmark"] == "bench tokenizer"
    assert {"date", "python", "nanoplug", "unit", "device", "made_of"} <= set(row)
    assert (row["name"], row["vocab_size"], row["round_trip"], row["folder"]) == ("words", 266, True, "runs/words")
    assert failed["bytes_per_token"] is None
    table = shown([row, failed]).splitlines()
    assert "on 3 threads" in table[0]
    assert table[1].split()[:3] == ["words", "words", "266"]
    assert " exact" in table[1]
    assert "does not come back" in table[2]
    assert "not measured" not in shown([row])
