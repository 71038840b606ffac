from __future__ import annotations

import pytest

from nanoplug.conformance.law import Law, Subject, survivors, verify
from nanoplug.conformance.tokenizer_laws import LAWS
from nanoplug.conformance.tokenizer_reference import FimReferenceTokenizer, ReferenceFactory
from nanoplug.spec import TokenizerSpec


def subject(**capabilities: bool) -> Subject:
    spec = TokenizerSpec(name="reference", summary="", load="m:o", **capabilities)  # type: ignore[arg-type]
    return Subject(kind="tokenizer", name="reference", spec=spec, backend=ReferenceFactory(FimReferenceTokenizer))


EVERYTHING = subject(lossless=True, trainable=True, chat=True, fim=True)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_the_reference_keeps_each_law(law: Law) -> None:
    assert [outcome for outcome in verify([law], EVERYTHING) if not outcome.ok or outcome.skipped] == []


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_each_law_rejects_its_wrong_implementations(law: Law) -> None:
    assert law.wrong
    assert survivors(law, EVERYTHING) == []


def test_names_of_laws_and_cases_are_unique() -> None:
    assert len({law.name for law in LAWS}) == len(LAWS)
    for law in LAWS:
        cases = [case.name for case in law.cases(EVERYTHING)]
        assert len(set(cases)) == len(cases)


def test_what_is_not_declared_is_skipped() -> None:
    assert all(outcome.skipped for outcome in verify(LAWS, subject()))
    skipped = {outcome.law for outcome in verify(LAWS, subject(trainable=True)) if outcome.skipped}
    assert skipped == {"lossless", "lossless on random strings", "bytes add up", "fill-in-the-middle ids"}
