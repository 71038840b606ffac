"""The laws of tokenizers about special tokens."""

from __future__ import annotations

from nanoplug.conformance import tokenizer_wrong as wrong
from nanoplug.conformance.law import Case, Law, Subject
from nanoplug.conformance.tokenizer_reference import CHAT_SPECIAL, FIM_SPECIAL
from nanoplug.conformance.tokenizer_subject import law, once, require, spec_of, train
from nanoplug.conformance.tokenizer_texts import random_strings


def _no_special_from_text(subject: Subject, case: Case) -> None:
    tokenizer = train(subject)
    special = set(tokenizer.special.values())
    for name in tokenizer.special:
        for text in (name, f"x{name}y", f" {name}\n{name}", name.encode(), name.encode() + b"\xff", f"\n{name}{name}"):
            found = special.intersection(tokenizer.encode(text)).union(
                special.intersection(tokenizer.encode_batch([text], threads=1)[0])
            )
            require(not found, f"{text!r} yields the special ids {sorted(found)}")


def _none_from_random(subject: Subject, case: Case) -> None:
    tokenizer = train(subject)
    special = set(tokenizer.special.values())
    strings = list(random_strings(case.values["seed"], 150, list(tokenizer.special)))
    for data, ids in zip(strings, tokenizer.encode_batch(strings, threads=2), strict=True):
        found = special.intersection(ids).union(special.intersection(tokenizer.encode(data)))
        require(not found, f"{data!r} yields the special ids {sorted(found)}")


def _special_names(subject: Subject, case: Case) -> None:
    tokenizer = train(subject)
    for name, id in tokenizer.special.items():
        require(isinstance(name, str) and bool(name), f"{name!r} is no name")
        fits = isinstance(id, int) and 0 <= id < tokenizer.vocab_size
        require(fits, f"{name} is {id!r}, not an integer from 0 to {tokenizer.vocab_size - 1}")
        alone, counted = tokenizer.decode_bytes([id]), tokenizer.bytes_per_token[id]
        require(alone == b"" and counted == 0, f"{name} is the id of a token of text: {alone!r}, {counted} bytes")


def _fim_ids(subject: Subject, case: Case) -> None:
    tokenizer = train(subject)
    missing = [name for name in FIM_SPECIAL if name not in tokenizer.special]
    require(not missing, f"special tokens are missing: {', '.join(missing)}")
    ids = [tokenizer.special[name] for name in FIM_SPECIAL]
    require(len(set(ids)) == len(ids), f"two of {', '.join(FIM_SPECIAL)} have one id")
    for name in CHAT_SPECIAL:
        gap = tokenizer.special.get(name) in ids[:3]
        require(not gap, f"{name} has the id of a token of fill-in-the-middle")


def _fim_cases(subject: Subject) -> list[Case]:
    return once(subject) if spec_of(subject).fim else []


def _seeds(subject: Subject) -> list[Case]:
    return [Case(f"seed {seed}", {"seed": seed}) for seed in range(4)] if once(subject) else []


def _special_ids(subject: Subject, case: Case) -> None:
    tokenizer = train(subject)
    needed = CHAT_SPECIAL if spec_of(subject).chat else CHAT_SPECIAL[:1]
    missing = [name for name in needed if name not in tokenizer.special]
    require(not missing, f"special tokens are missing: {', '.join(missing)}")
    ids = [tokenizer.special[name] for name in needed]
    require(len(set(ids)) == len(ids), "two special tokens have one id")
    require(all(0 <= id < tokenizer.vocab_size for id in ids), "a special id is outside the vocabulary")


LAWS: tuple[Law, ...] = (
    law(
        "no special id from text",
        "Text never yields special ids, even where it spells them.",
        once,
        _no_special_from_text,
        [wrong.SpecialFromText, wrong.SpecialAfterNewline],
    ),
    law(
        "no special id from random text",
        "Nor where the spelling stands among bytes of any kind.",
        _seeds,
        _none_from_random,
        [wrong.SpecialFromText, wrong.SpecialInDamagedBytes],
    ),
    law(
        "special names",
        "Every name in `special`, second names included, is the id of a token that is no text.",
        once,
        _special_names,
        [wrong.SecondNameOfText, wrong.SecondNamePastVocabulary, wrong.SpellsSpecialIds],
    ),
    law(
        "fill-in-the-middle ids",
        "<FIM_PREFIX>, <FIM_MIDDLE>, <FIM_SUFFIX> and <EOS> exist if declared, each with an id of its own; the first"
        " three are none of conversations.",
        _fim_cases,
        _fim_ids,
        [wrong.NoEos, wrong.FimIdsShared, wrong.FimIsChat],
    ),
    law(
        "special ids",
        "<|bos|> exists, and the eight others of conversations if declared; each has an id of its own.",
        once,
        _special_ids,
        [wrong.NoBos, wrong.SpecialIdsShared],
    ),
)
