"""What the laws of tokenizers share: the tokenizer under test, its grid, and how a law is put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import cast
from weakref import WeakKeyDictionary

from nanoplug.conformance import tokenizer_wrong as wrong
from nanoplug.conformance.law import Broken, Case, Law, Measured, Subject
from nanoplug.conformance.tokenizer_texts import BYTES, TEXTS, cpp_source
from nanoplug.contracts import Tokenizer, TokenizerFactory
from nanoplug.errors import ConfigError, ContractError
from nanoplug.spec import TokenizerSpec

VOCAB_SIZES = (512, 2560, 8192)
"""Tried from the first on: a family may need room for ids of its own."""
ALL_TEXTS: tuple[tuple[str, str | bytes], ...] = (*TEXTS.items(), *BYTES.items())
_TRAINED: WeakKeyDictionary[object, Tokenizer] = WeakKeyDictionary()


def train(subject: Subject) -> Tokenizer:
    """A small tokenizer of the family; the same one whenever it is asked for, as training takes its time."""
    try:
        if subject.backend not in _TRAINED:
            _TRAINED[subject.backend] = train_anew(subject)
        return _TRAINED[subject.backend]
    except TypeError:  # a factory that cannot be a key is asked again
        return train_anew(subject)


def train_anew(subject: Subject, seed: int = 0) -> Tokenizer:
    """A small tokenizer of the family, trained now on random C++-like text."""
    refusal: Exception | None = None
    for vocab_size in VOCAB_SIZES:
        try:
            return factory_of(subject).train(training_text(seed, vocab_size), vocab_size=vocab_size)
        except (ConfigError, ContractError) as error:
            refusal = error
    raise Broken(f"none of {VOCAB_SIZES} is taken as a vocabulary size: {refusal}")


def factory_of(subject: Subject) -> TokenizerFactory:
    return cast(TokenizerFactory, subject.backend)


def training_text(seed: int, vocab_size: int) -> list[str]:
    return [*TEXTS.values(), *(cpp_source(seed * 100 + part, vocab_size // 4) for part in range(4))]


def spec_of(subject: Subject) -> TokenizerSpec:
    return cast(TokenizerSpec, subject.spec)


def utf8(text: str | bytes) -> bytes:
    return text.encode("utf-8") if isinstance(text, str) else text


def require(holds: bool, detail: str) -> None:
    if not holds:
        raise Broken(detail)


def once(subject: Subject) -> list[Case]:
    return [Case("any")] if spec_of(subject).trainable else []


def each_text(subject: Subject) -> list[Case]:
    if not spec_of(subject).trainable:
        return []
    return [Case(name, {"text": text}) for name, text in ALL_TEXTS]


def each_lossless_text(subject: Subject) -> list[Case]:
    return each_text(subject) if spec_of(subject).lossless else []


def must_raise(kinds: tuple[type[Exception], ...], what: str, call: Callable[..., object], *args: object) -> None:
    names = " or ".join(kind.__name__ for kind in kinds)
    try:
        call(*args)
    except kinds:
        return
    except Exception as error:
        raise Broken(f"{what} raises {type(error).__name__}, not {names}: {error}") from error
    raise Broken(f"{what} is accepted; it must raise {names}")


def law(
    name: str,
    says: str,
    cases: Callable[[Subject], Iterable[Case]],
    check: Callable[[Subject, Case], Measured | None],
    tokenizers: Sequence[type] = (),
    factories: Sequence[type] = (),
) -> Law:
    impostors = (*map(wrong.tokenizer, tokenizers), *map(wrong.factory, factories))
    return Law(name=name, says=says, cases=cases, check=check, wrong=impostors)
