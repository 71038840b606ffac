"""The laws of tokenizers. The backend under test is a factory: each law trains the tokenizers that it needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nanoplug.conformance import tokenizer_file_laws, tokenizer_special_laws
from nanoplug.conformance import tokenizer_wrong as wrong
from nanoplug.conformance.law import Broken, Case, Law, Subject
from nanoplug.conformance.tokenizer_subject import (
    ALL_TEXTS,
    VOCAB_SIZES,
    each_lossless_text,
    each_text,
    factory_of,
    law,
    must_raise,
    once,
    require,
    spec_of,
    train,
    training_text,
    utf8,
)
from nanoplug.conformance.tokenizer_texts import random_strings
from nanoplug.errors import ConfigError, ContractError


def _lossless(subject: Subject, case: Case) -> None:
    tokenizer = train(subject)
    data = utf8(case.values["text"])
    back = tokenizer.decode_bytes(tokenizer.encode(case.values["text"]))
    if back != data:
        at = next((i for i, pair in enumerate(zip(back, data, strict=False)) if pair[0] != pair[1]), len(back))
        raise Broken(f"byte {at}: {data[at : at + 20]!r} came back as {back[at : at + 20]!r}")


def _random_strings(subject: Subject, case: Case) -> None:
    tokenizer = train(subject)
    for data in random_strings(case.values["seed"], 150):
        ids = tokenizer.encode(data)
        back = tokenizer.decode_bytes(ids)
        require(back == data, f"{data!r} came back as {back!r}")
        counted = sum(tokenizer.bytes_per_token[id] for id in ids)
        require(counted == len(data), f"{data!r}: bytes_per_token adds up to {counted} for {len(data)} bytes")


def _random_cases(subject: Subject) -> list[Case]:
    fits = once(subject) and spec_of(subject).lossless
    return [Case(f"seed {seed}", {"seed": seed}) for seed in range(4)] if fits else []


def _text_as_bytes(subject: Subject, case: Case) -> None:
    tokenizer = train(subject)
    text = case.values["text"]
    require(tokenizer.encode(text) == tokenizer.encode(utf8(text)), "a string and its UTF-8 bytes have other ids")


def _ids_in_range(subject: Subject, case: Case) -> None:
    tokenizer = train(subject)
    for id in tokenizer.encode(case.values["text"]):
        fits = isinstance(id, int) and 0 <= id < tokenizer.vocab_size
        require(fits, f"{id!r} is not an integer from 0 to {tokenizer.vocab_size - 1}")


def _batch_is_single(subject: Subject, case: Case) -> None:
    tokenizer = train(subject)
    texts = [text for _, text in ALL_TEXTS]
    single = [tokenizer.encode(text) for text in texts]
    require(tokenizer.encode_batch([], threads=2) == [], "an empty batch does not give an empty list")
    require(tokenizer.encode_batch(texts, threads=case.values["threads"]) == single, "batch and single ids differ")


def _bytes_add_up(subject: Subject, case: Case) -> None:
    tokenizer = train(subject)
    data = utf8(case.values["text"])
    counted = sum(tokenizer.bytes_per_token[id] for id in tokenizer.encode(data))
    require(counted == len(data), f"bytes_per_token adds up to {counted} for {len(data)} bytes")


def _bytes_of_each_id(subject: Subject, case: Case) -> None:
    tokenizer = train(subject)
    require(
        len(tokenizer.bytes_per_token) == tokenizer.vocab_size,
        f"bytes_per_token has {len(tokenizer.bytes_per_token)} entries for {tokenizer.vocab_size} ids",
    )
    for name, id in tokenizer.special.items():
        require(tokenizer.bytes_per_token[id] == 0, f"{name} counts {tokenizer.bytes_per_token[id]} bytes, not 0")
        require(tokenizer.decode_bytes([id]) == b"", f"{name} decodes to bytes; special ids are no text")
    if not spec_of(subject).lossless:
        return
    parts = [tokenizer.decode_bytes([id]) for id in range(tokenizer.vocab_size)]
    for id, part in enumerate(parts):
        counted = tokenizer.bytes_per_token[id]
        require(counted == len(part), f"id {id} is {part!r} and counts {counted} bytes")
    joined = tokenizer.decode_bytes(range(tokenizer.vocab_size))
    require(joined == b"".join(parts), "bytes of a list of ids are not the bytes of each id, joined")


def _decode_is_decode_bytes(subject: Subject, case: Case) -> None:
    tokenizer = train(subject)
    ids = tokenizer.encode(case.values["text"])
    for part in (ids, ids[1:], ids[:-1], [*tokenizer.special.values(), *ids]):
        expected = tokenizer.decode_bytes(part).decode("utf-8", errors="replace")
        require(tokenizer.decode(part) == expected, f"decode and decode_bytes differ on {part[:8]}...")


def _vocabulary_size(subject: Subject, case: Case) -> None:
    size = train(subject).vocab_size
    require(size in VOCAB_SIZES, f"vocab_size is {size}; none of {VOCAB_SIZES} that were asked for")
    must_raise(
        (ConfigError, ContractError),
        "training a vocabulary of one id",
        lambda: factory_of(subject).train(training_text(0, VOCAB_SIZES[0]), vocab_size=1),
    )


def _bad_ids(subject: Subject, case: Case) -> None:
    tokenizer = train(subject)
    ids = case.values["ids"](tokenizer.vocab_size)
    must_raise((ContractError,), f"decode({ids})", tokenizer.decode, ids)
    must_raise((ContractError,), f"decode_bytes({ids})", tokenizer.decode_bytes, ids)


def _bad_id_cases(subject: Subject) -> list[Case]:
    lists: dict[str, Callable[[int], list[Any]]] = {
        "negative": lambda size: [0, -1],
        "one past the end": lambda size: [size],
        "far past the end": lambda size: [0, 10**9],
        "text": lambda size: ["a"],
        "a fraction": lambda size: [1.5],
        "nothing": lambda size: [None],
    }
    return [Case(name, {"ids": ids}) for name, ids in lists.items()] if once(subject) else []


def _wrong_types(subject: Subject, case: Case) -> None:
    tokenizer = train(subject)
    value = case.values["value"]
    must_raise((ContractError,), f"encode({value!r})", tokenizer.encode, value)
    must_raise((ContractError,), f"encode_batch([{value!r}])", tokenizer.encode_batch, ["a", value])


def _wrong_type_cases(subject: Subject) -> list[Case]:
    values = {"nothing": None, "a number": 5, "a list": ["a"], "ids": [1, 2], "a lone surrogate": "a\ud800b"}
    return [Case(name, {"value": value}) for name, value in values.items()] if once(subject) else []


def _text_for_a_batch(subject: Subject, case: Case) -> None:
    tokenizer = train(subject)
    must_raise((ContractError,), "encode_batch of one string", tokenizer.encode_batch, "ab")
    must_raise((ContractError,), "no threads", lambda: tokenizer.encode_batch(["a", "b"], threads=0))
    must_raise(
        (ContractError,),
        "training on one string",
        lambda: factory_of(subject).train("int x;\n" * 2000, vocab_size=VOCAB_SIZES[-1]),
    )


def _thread_cases(subject: Subject) -> list[Case]:
    return [Case(f"{n} threads", {"threads": n}) for n in (1, 2, 4)] if once(subject) else []


LAWS: tuple[Law, ...] = (
    law(
        "lossless",
        "Decoding the ids of any byte string gives that byte string.",
        each_lossless_text,
        _lossless,
        [wrong.DropsTrailingWhitespace, wrong.FoldsLineEnds, wrong.ReplacesInvalidBytes, wrong.SpacesBetweenIds],
    ),
    law(
        "lossless on random strings",
        "So it is for random bytes, characters of many scripts and cuts of C++, and the bytes of the tokens add up.",
        _random_cases,
        _random_strings,
        [wrong.DropsByteOrderMark, wrong.FoldsLineEnds, wrong.ReplacesInvalidBytes, wrong.CountsCharacters],
    ),
    law(
        "text and bytes agree",
        "A string and its UTF-8 bytes have the same ids.",
        each_text,
        _text_as_bytes,
        [wrong.BytesDifferFromText],
    ),
    law(
        "ids in range",
        "Ids are integers from 0 to vocab_size - 1.",
        each_text,
        _ids_in_range,
        [wrong.IdsPastVocabulary, wrong.FloatIds],
    ),
    law(
        "batch is single",
        "encode_batch gives what encode gives for each text, in order, for any number of threads.",
        _thread_cases,
        _batch_is_single,
        [wrong.BatchByLength, wrong.BatchLeavesOutEmpty, wrong.ManyThreadsShareABuffer],
    ),
    law(
        "bytes add up",
        "bytes_per_token over the ids of a text adds up to its bytes.",
        each_lossless_text,
        _bytes_add_up,
        [wrong.DropsTrailingWhitespace, wrong.CountsCharacters],
    ),
    law(
        "bytes of each id",
        "bytes_per_token has an entry for each id: the length of its bytes, and 0 for special ids, which are no text.",
        once,
        _bytes_of_each_id,
        [wrong.CountsCharacters, wrong.CountsSpecialSpelling, wrong.CountsOrdinaryIdsOnly, wrong.SpellsSpecialIds],
    ),
    law(
        "decode is decode_bytes",
        "decode is decode_bytes read as UTF-8, with U+FFFD for what is not.",
        each_text,
        _decode_is_decode_bytes,
        [wrong.DecodesEachIdAlone, wrong.IgnoresInvalidBytes],
    ),
    law(
        "vocabulary size",
        "A trained vocabulary has exactly the size asked for; one too small for the family is refused.",
        once,
        _vocabulary_size,
        factories=[wrong.OneMoreId, wrong.AcceptsNoRoom],
    ),
    law(
        "bad ids",
        "Decoding an id that is not in the vocabulary raises ContractError.",
        _bad_id_cases,
        _bad_ids,
        [wrong.WrapsNegativeIds, wrong.SkipsUnknownIds],
    ),
    law(
        "bad text",
        "Encoding what is neither bytes nor a string with UTF-8 bytes raises ContractError.",
        _wrong_type_cases,
        _wrong_types,
        [wrong.TakesAnyType],
    ),
    law(
        "bad batches",
        "One string where many are expected, and no threads at all, raise ContractError.",
        once,
        _text_for_a_batch,
        [wrong.TakesOneStringAsMany],
        [wrong.TrainsOnCharacters],
    ),
    *tokenizer_special_laws.LAWS,
    *tokenizer_file_laws.LAWS,
)
