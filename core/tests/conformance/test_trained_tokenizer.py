from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from nanoplug.conformance import tokenizer_wrong as wrong
from nanoplug.conformance.tokenizer_reference import FimReferenceTokenizer, ReferenceFactory, ReferenceTokenizer
from nanoplug.conformance.trained_tokenizer import Finding, TrainedTokenizer, difference
from nanoplug.errors import ContractError, DataError

WORDS = [b"int", b"return", b"    ", b"std::", b"foo"]
FILES = [("a.h", b"int x;  \r\n\treturn 0;\n"), ("b.bin", bytes(range(256))), ("empty", b"")]


def findings(tokenizer: ReferenceTokenizer, engines: dict[str, ReferenceTokenizer] | None = None) -> dict[str, Finding]:
    load = ReferenceFactory(type(tokenizer)).load
    found = TrainedTokenizer(tokenizer, load, engines=engines).findings(FILES, random=400)
    assert len({finding.law for finding in found}) == len(found)
    return {finding.law: finding for finding in found}


def broken(found: dict[str, Finding]) -> set[str]:
    return {law for law, finding in found.items() if not finding.ok}


@pytest.mark.parametrize("cls", [ReferenceTokenizer, FimReferenceTokenizer])
def test_a_right_one_keeps_every_law(cls: type[ReferenceTokenizer]) -> None:
    found = findings(cls(WORDS), {"engine=other": cls(WORDS)})
    assert broken(found) == set()
    assert found["round trip: files"].detail.startswith("3 files, 277 bytes")
    assert found["round trip: random strings"].detail.startswith("400 random strings")
    assert "ids by engine=other" in found


TRIPS = {"round trip: texts of the kit", "round trip: files", "round trip: random strings"}


@pytest.mark.parametrize(
    ("cls", "laws"),
    [
        (wrong.DropsTrailingWhitespace, {"bytes add up", "round trip: texts of the kit"}),
        (wrong.FoldsLineEnds, {"bytes add up", *TRIPS}),
        (wrong.ReplacesInvalidBytes, {"bytes add up", *TRIPS}),
        (wrong.BytesDifferFromText, {"batch, single, str and bytes agree"}),
        (wrong.SpecialFromText, {"no special from text", "special tokens spelled in text"}),
        (wrong.SpecialInDamagedBytes, {"no special from text"}),
        (wrong.IdsPastVocabulary, {"ids in range"}),
        (wrong.ManyThreadsShareABuffer, {"batch, single, str and bytes agree"}),
        (wrong.CountsCharacters, {"bytes add up", "bytes of each id"}),
        (wrong.CountsSpecialSpelling, {"bytes of each id"}),
        (wrong.CountsOrdinaryIdsOnly, {"bytes of each id"}),
        (wrong.SpellsSpecialIds, {"bytes of each id"}),
        (wrong.SavesHalf, {"save and load"}),
        (wrong.NewFingerprintEachTime, {"save and load"}),
    ],
)
def test_a_wrong_one_is_found_out(cls: type[ReferenceTokenizer], laws: set[str]) -> None:
    assert laws <= broken(findings(cls(WORDS)))


def test_an_engine_with_other_ids() -> None:
    found = findings(ReferenceTokenizer(WORDS), {"engine=a": ReferenceTokenizer(WORDS[:2])})
    assert broken(found) == {"ids by engine=a"}


def test_bytes_that_are_refused_and_texts_that_cannot_be_encoded() -> None:
    class Refuses(ReferenceTokenizer):
        def __init__(self, words: Sequence[bytes] = ()) -> None:
            super().__init__(words)
            del self.bytes_per_token

        def __getattr__(self, name: str) -> object:
            if name == "bytes_per_token":
                raise DataError("text is not kept.")
            raise AttributeError(name)

        def encode(self, text: str | bytes) -> list[int]:
            if b"\xff" in self.as_bytes(text):
                raise ContractError("no token for 0xFF.")
            return super().encode(text)

    found = findings(Refuses(WORDS))
    assert found["bytes add up"].detail == "text is not kept."
    assert found["round trip: files"].detail == "b.bin: no token for 0xFF."
    assert broken(found) == {"bytes add up", *TRIPS}


def test_no_texts_but_the_kits() -> None:
    found = TrainedTokenizer(ReferenceTokenizer(), ReferenceFactory().load).findings([], random=0)
    assert all(finding.ok for finding in found)
    assert [finding.law for finding in found if finding.law.startswith("round trip")] == [
        "round trip: texts of the kit"
    ]


def test_a_difference_in_words(tmp_path: Path) -> None:
    assert difference(b"abcd", b"abxd") == "byte 2: b'cd' came back as b'xd'"
    assert difference(b"abcd", b"ab") == "byte 2: b'cd' came back as b''"
