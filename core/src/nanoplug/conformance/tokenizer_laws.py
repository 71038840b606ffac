"""The laws of tokenizers. The backend under test is a factory: each law trains the tokenizers that it needs."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, cast

from nanoplug.conformance import tokenizer_wrong as wrong
from nanoplug.conformance.law import Broken, Case, Law, Measured, Subject
from nanoplug.conformance.tokenizer_reference import CHAT_SPECIAL
from nanoplug.conformance.tokenizer_texts import BYTES, CPP, TEXTS, cpp_source
from nanoplug.contracts import Tokenizer, TokenizerFactory
from nanoplug.errors import ConfigError, ContractError, DataError
from nanoplug.spec import TokenizerSpec

VOCAB_SIZES = (512, 2560, 8192)
"""Tried from the first on: a family may need room for ids of its own."""
_ALL: tuple[tuple[str, str | bytes], ...] = (*TEXTS.items(), *BYTES.items())


def train(subject: Subject, seed: int = 0) -> Tokenizer:
    """A small tokenizer of the family, trained on random C++-like text."""
    refusal: Exception | None = None
    for vocab_size in VOCAB_SIZES:
        try:
            return _factory(subject).train(_training_text(seed, vocab_size), vocab_size=vocab_size)
        except (ConfigError, ContractError) as error:
            refusal = error
    raise Broken(f"none of {VOCAB_SIZES} is taken as a vocabulary size: {refusal}")


def _factory(subject: Subject) -> TokenizerFactory:
    return cast(TokenizerFactory, subject.backend)


def _training_text(seed: int, vocab_size: int) -> list[str]:
    return [*TEXTS.values(), *(cpp_source(seed * 100 + part, vocab_size // 4) for part in range(4))]


def _spec(subject: Subject) -> TokenizerSpec:
    return cast(TokenizerSpec, subject.spec)


def _utf8(text: str | bytes) -> bytes:
    return text.encode("utf-8") if isinstance(text, str) else text


def _require(holds: bool, detail: str) -> None:
    if not holds:
        raise Broken(detail)


def _once(subject: Subject) -> list[Case]:
    return [Case("any")] if _spec(subject).trainable else []


def _each_text(subject: Subject) -> list[Case]:
    if not _spec(subject).trainable:
        return []
    return [Case(name, {"text": text}) for name, text in _ALL]


def _each_lossless_text(subject: Subject) -> list[Case]:
    return _each_text(subject) if _spec(subject).lossless else []


def _lossless(subject: Subject, case: Case) -> None:
    tokenizer = train(subject)
    data = _utf8(case.values["text"])
    back = tokenizer.decode_bytes(tokenizer.encode(case.values["text"]))
    if back != data:
        at = next((i for i, pair in enumerate(zip(back, data, strict=False)) if pair[0] != pair[1]), len(back))
        raise Broken(f"byte {at}: {data[at : at + 20]!r} came back as {back[at : at + 20]!r}")


def _text_as_bytes(subject: Subject, case: Case) -> None:
    tokenizer = train(subject)
    text = case.values["text"]
    _require(tokenizer.encode(text) == tokenizer.encode(_utf8(text)), "a string and its UTF-8 bytes have other ids")


def _no_special_from_text(subject: Subject, case: Case) -> None:
    tokenizer = train(subject)
    special = set(tokenizer.special.values())
    for name in tokenizer.special:
        for text in (name, f"x{name}y", f" {name}\n{name}", name.encode(), name.encode() + b"\xff"):
            found = special.intersection(tokenizer.encode(text)).union(
                special.intersection(tokenizer.encode_batch([text], threads=1)[0])
            )
            _require(not found, f"{text!r} yields the special ids {sorted(found)}")


def _ids_in_range(subject: Subject, case: Case) -> None:
    tokenizer = train(subject)
    for id in tokenizer.encode(case.values["text"]):
        fits = isinstance(id, int) and 0 <= id < tokenizer.vocab_size
        _require(fits, f"{id!r} is not an integer from 0 to {tokenizer.vocab_size - 1}")


def _batch_is_single(subject: Subject, case: Case) -> None:
    tokenizer = train(subject)
    texts = [text for _, text in _ALL]
    single = [tokenizer.encode(text) for text in texts]
    _require(tokenizer.encode_batch([], threads=2) == [], "an empty batch does not give an empty list")
    _require(tokenizer.encode_batch(texts, threads=case.values["threads"]) == single, "batch and single ids differ")


def _bytes_add_up(subject: Subject, case: Case) -> None:
    tokenizer = train(subject)
    data = _utf8(case.values["text"])
    counted = sum(tokenizer.bytes_per_token[id] for id in tokenizer.encode(data))
    _require(counted == len(data), f"bytes_per_token adds up to {counted} for {len(data)} bytes")


def _bytes_of_each_id(subject: Subject, case: Case) -> None:
    tokenizer = train(subject)
    _require(
        len(tokenizer.bytes_per_token) == tokenizer.vocab_size,
        f"bytes_per_token has {len(tokenizer.bytes_per_token)} entries for {tokenizer.vocab_size} ids",
    )
    for name, id in tokenizer.special.items():
        _require(tokenizer.bytes_per_token[id] == 0, f"{name} counts {tokenizer.bytes_per_token[id]} bytes, not 0")
        _require(tokenizer.decode_bytes([id]) == b"", f"{name} decodes to bytes; special ids are no text")
    if not _spec(subject).lossless:
        return
    parts = [tokenizer.decode_bytes([id]) for id in range(tokenizer.vocab_size)]
    for id, part in enumerate(parts):
        counted = tokenizer.bytes_per_token[id]
        _require(counted == len(part), f"id {id} is {part!r} and counts {counted} bytes")
    joined = tokenizer.decode_bytes(range(tokenizer.vocab_size))
    _require(joined == b"".join(parts), "bytes of a list of ids are not the bytes of each id, joined")


def _decode_is_decode_bytes(subject: Subject, case: Case) -> None:
    tokenizer = train(subject)
    ids = tokenizer.encode(case.values["text"])
    for part in (ids, ids[1:], ids[:-1], [*tokenizer.special.values(), *ids]):
        expected = tokenizer.decode_bytes(part).decode("utf-8", errors="replace")
        _require(tokenizer.decode(part) == expected, f"decode and decode_bytes differ on {part[:8]}...")


def _save_and_load(subject: Subject, case: Case) -> None:
    tokenizer = train(subject)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(Path(folder))
        again = _factory(subject).load(Path(folder))
    for name in ("fingerprint", "vocab_size"):
        old, new = getattr(tokenizer, name), getattr(again, name)
        _require(old == new, f"{name} was {old} and is {new} after loading")
    _require(dict(again.special) == dict(tokenizer.special), "special ids differ after loading")
    _require(list(again.bytes_per_token) == list(tokenizer.bytes_per_token), "bytes_per_token differs after loading")
    for name, text in _ALL:
        _require(again.encode(text) == tokenizer.encode(text), f"ids of {name} differ after loading")


def _missing_files(subject: Subject, case: Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _must_raise((DataError,), "loading an empty folder", _factory(subject).load, Path(folder))


def _fingerprint(subject: Subject, case: Case) -> None:
    first, second = train(subject, seed=0), train(subject, seed=1)
    _require(
        re.fullmatch("[0-9a-f]{64}", first.fingerprint) is not None,
        f"fingerprint {first.fingerprint!r} is not a SHA-256 in lower-case hex",
    )
    _require(first.fingerprint != second.fingerprint, "tokenizers of other training text have one fingerprint")


def _same_training(subject: Subject, case: Case) -> None:
    first = train(subject)
    texts = _training_text(0, first.vocab_size)
    for again in (train(subject), _factory(subject).train(iter(texts), vocab_size=first.vocab_size)):
        _require(again.fingerprint == first.fingerprint, "training twice on the same text gives two fingerprints")
        _require(again.encode(CPP) == first.encode(CPP), "training twice on the same text gives other ids")


def _vocabulary_size(subject: Subject, case: Case) -> None:
    size = train(subject).vocab_size
    _require(size in VOCAB_SIZES, f"vocab_size is {size}; none of {VOCAB_SIZES} that were asked for")
    _must_raise(
        (ConfigError, ContractError),
        "training a vocabulary of one id",
        lambda: _factory(subject).train(_training_text(0, VOCAB_SIZES[0]), vocab_size=1),
    )


def _special_ids(subject: Subject, case: Case) -> None:
    tokenizer = train(subject)
    needed = CHAT_SPECIAL if _spec(subject).chat else CHAT_SPECIAL[:1]
    missing = [name for name in needed if name not in tokenizer.special]
    _require(not missing, f"special tokens are missing: {', '.join(missing)}")
    ids = [tokenizer.special[name] for name in needed]
    _require(len(set(ids)) == len(ids), "two special tokens have one id")
    _require(all(0 <= id < tokenizer.vocab_size for id in ids), "a special id is outside the vocabulary")


def _bad_ids(subject: Subject, case: Case) -> None:
    tokenizer = train(subject)
    ids = case.values["ids"](tokenizer.vocab_size)
    _must_raise((ContractError,), f"decode({ids})", tokenizer.decode, ids)
    _must_raise((ContractError,), f"decode_bytes({ids})", tokenizer.decode_bytes, ids)


def _bad_id_cases(subject: Subject) -> list[Case]:
    lists: dict[str, Callable[[int], list[Any]]] = {
        "negative": lambda size: [0, -1],
        "one past the end": lambda size: [size],
        "far past the end": lambda size: [0, 10**9],
        "text": lambda size: ["a"],
        "a fraction": lambda size: [1.5],
        "nothing": lambda size: [None],
    }
    return [Case(name, {"ids": ids}) for name, ids in lists.items()] if _once(subject) else []


def _wrong_types(subject: Subject, case: Case) -> None:
    tokenizer = train(subject)
    value = case.values["value"]
    _must_raise((ContractError,), f"encode({value!r})", tokenizer.encode, value)
    _must_raise((ContractError,), f"encode_batch([{value!r}])", tokenizer.encode_batch, ["a", value])


def _wrong_type_cases(subject: Subject) -> list[Case]:
    values = {"nothing": None, "a number": 5, "a list": ["a"], "ids": [1, 2], "a lone surrogate": "a\ud800b"}
    return [Case(name, {"value": value}) for name, value in values.items()] if _once(subject) else []


def _text_for_a_batch(subject: Subject, case: Case) -> None:
    tokenizer = train(subject)
    _must_raise((ContractError,), "encode_batch of one string", tokenizer.encode_batch, "ab")
    _must_raise((ContractError,), "no threads", lambda: tokenizer.encode_batch(["a", "b"], threads=0))
    _must_raise(
        (ContractError,),
        "training on one string",
        lambda: _factory(subject).train("int x;\n" * 2000, vocab_size=VOCAB_SIZES[-1]),
    )


def _must_raise(kinds: tuple[type[Exception], ...], what: str, call: Callable[..., object], *args: object) -> None:
    names = " or ".join(kind.__name__ for kind in kinds)
    try:
        call(*args)
    except kinds:
        return
    except Exception as error:
        raise Broken(f"{what} raises {type(error).__name__}, not {names}: {error}") from error
    raise Broken(f"{what} is accepted; it must raise {names}")


def _law(
    name: str,
    says: str,
    cases: Callable[[Subject], Iterable[Case]],
    check: Callable[[Subject, Case], Measured | None],
    tokenizers: Sequence[type] = (),
    factories: Sequence[type] = (),
) -> Law:
    impostors = (*map(wrong.tokenizer, tokenizers), *map(wrong.factory, factories))
    return Law(name=name, says=says, cases=cases, check=check, wrong=impostors)


def _thread_cases(subject: Subject) -> list[Case]:
    return [Case(f"{n} threads", {"threads": n}) for n in (1, 2, 4)] if _once(subject) else []


LAWS: tuple[Law, ...] = (
    _law(
        "lossless",
        "Decoding the ids of any byte string gives that byte string.",
        _each_lossless_text,
        _lossless,
        [wrong.DropsTrailingWhitespace, wrong.FoldsLineEnds, wrong.ReplacesInvalidBytes, wrong.SpacesBetweenIds],
    ),
    _law(
        "text and bytes agree",
        "A string and its UTF-8 bytes have the same ids.",
        _each_text,
        _text_as_bytes,
        [wrong.BytesDifferFromText],
    ),
    _law(
        "no special id from text",
        "Text never yields special ids, even where it spells them.",
        _once,
        _no_special_from_text,
        [wrong.SpecialFromText],
    ),
    _law(
        "ids in range",
        "Ids are integers from 0 to vocab_size - 1.",
        _each_text,
        _ids_in_range,
        [wrong.IdsPastVocabulary, wrong.FloatIds],
    ),
    _law(
        "batch is single",
        "encode_batch gives what encode gives for each text, in order, for any number of threads.",
        _thread_cases,
        _batch_is_single,
        [wrong.BatchByLength, wrong.BatchLeavesOutEmpty, wrong.ManyThreadsShareABuffer],
    ),
    _law(
        "bytes add up",
        "bytes_per_token over the ids of a text adds up to its bytes.",
        _each_lossless_text,
        _bytes_add_up,
        [wrong.DropsTrailingWhitespace, wrong.CountsCharacters],
    ),
    _law(
        "bytes of each id",
        "bytes_per_token has an entry for each id: the length of its bytes, and 0 for special ids, which are no text.",
        _once,
        _bytes_of_each_id,
        [wrong.CountsCharacters, wrong.CountsSpecialSpelling, wrong.CountsOrdinaryIdsOnly, wrong.SpellsSpecialIds],
    ),
    _law(
        "decode is decode_bytes",
        "decode is decode_bytes read as UTF-8, with U+FFFD for what is not.",
        _each_text,
        _decode_is_decode_bytes,
        [wrong.DecodesEachIdAlone, wrong.IgnoresInvalidBytes],
    ),
    _law(
        "save and load",
        "A saved tokenizer comes back with the same ids and fingerprint.",
        _once,
        _save_and_load,
        [wrong.SavesHalf, wrong.NewFingerprintEachTime],
    ),
    _law(
        "missing files",
        "Loading a folder without a tokenizer raises DataError.",
        _once,
        _missing_files,
        factories=[wrong.LoadsNothingAsNew],
    ),
    _law(
        "fingerprint",
        "The fingerprint is a SHA-256 that tells tokenizers of other training text apart.",
        _once,
        _fingerprint,
        [wrong.ConstantFingerprint, wrong.ShortFingerprint],
    ),
    _law(
        "same training",
        "The same training text gives the same tokenizer.",
        _once,
        _same_training,
        [wrong.NewFingerprintEachTime],
        [wrong.ShuffledTraining],
    ),
    _law(
        "vocabulary size",
        "A trained vocabulary has exactly the size asked for; one too small for the family is refused.",
        _once,
        _vocabulary_size,
        factories=[wrong.OneMoreId, wrong.AcceptsNoRoom],
    ),
    _law(
        "special ids",
        "<|bos|> exists, and the eight others of conversations if declared; each has an id of its own.",
        _once,
        _special_ids,
        [wrong.NoBos, wrong.SpecialIdsShared],
    ),
    _law(
        "bad ids",
        "Decoding an id that is not in the vocabulary raises ContractError.",
        _bad_id_cases,
        _bad_ids,
        [wrong.WrapsNegativeIds, wrong.SkipsUnknownIds],
    ),
    _law(
        "bad text",
        "Encoding what is neither bytes nor a string with UTF-8 bytes raises ContractError.",
        _wrong_type_cases,
        _wrong_types,
        [wrong.TakesAnyType],
    ),
    _law(
        "bad batches",
        "One string where many are expected, and no threads at all, raise ContractError.",
        _once,
        _text_for_a_batch,
        [wrong.TakesOneStringAsMany],
        [wrong.TrainsOnCharacters],
    ),
)
