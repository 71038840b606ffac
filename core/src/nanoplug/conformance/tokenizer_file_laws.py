"""The laws of tokenizers about their files, their fingerprint, and training again."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from nanoplug.conformance import tokenizer_wrong as wrong
from nanoplug.conformance.law import Broken, Case, Law, Subject
from nanoplug.conformance.tokenizer_subject import (
    ALL_TEXTS,
    factory_of,
    law,
    must_raise,
    once,
    require,
    train,
    train_anew,
    training_text,
)
from nanoplug.conformance.tokenizer_texts import CPP
from nanoplug.contracts import Tokenizer
from nanoplug.errors import DataError


def _save_and_load(subject: Subject, case: Case) -> None:
    tokenizer = train(subject)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(Path(folder))
        again = factory_of(subject).load(Path(folder))
    for name in ("fingerprint", "vocab_size"):
        old, new = getattr(tokenizer, name), getattr(again, name)
        require(old == new, f"{name} was {old} and is {new} after loading")
    require(dict(again.special) == dict(tokenizer.special), "special ids differ after loading")
    require(list(again.bytes_per_token) == list(tokenizer.bytes_per_token), "bytes_per_token differs after loading")
    for name, text in ALL_TEXTS:
        require(again.encode(text) == tokenizer.encode(text), f"ids of {name} differ after loading")


def _missing_files(subject: Subject, case: Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        must_raise((DataError,), "loading an empty folder", factory_of(subject).load, Path(folder))


def _damaged_files(subject: Subject, case: Case) -> None:
    """Each file in turn; a file that does not matter may be damaged unseen, if the tokenizer is still the same."""
    tokenizer = train(subject)
    damage: Callable[[bytes], bytes | None] = case.values["damage"]
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(Path(folder))
        for path in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
            whole = path.read_bytes()
            left = damage(whole)
            if left is None:
                path.unlink()
            else:
                path.write_bytes(left)
            _told(subject, tokenizer, Path(folder), f"{path.name}, {case.name}", may_differ=case.values["may_differ"])
            path.write_bytes(whole)


def _told(subject: Subject, tokenizer: Tokenizer, folder: Path, what: str, *, may_differ: bool) -> None:
    try:
        again = factory_of(subject).load(folder)
    except DataError:
        return
    except Exception as error:
        raise Broken(f"{what}: loading raises {type(error).__name__}, not DataError: {error}") from error
    if may_differ and again.fingerprint != tokenizer.fingerprint:
        return  # the folder's manifest tells
    require(again.fingerprint == tokenizer.fingerprint, f"{what}: it loads as another tokenizer")
    require(dict(again.special) == dict(tokenizer.special), f"{what}: it loads with other special ids")
    every = range(tokenizer.vocab_size)
    require(again.decode_bytes(every) == tokenizer.decode_bytes(every), f"{what}: its ids stand for other bytes")
    for name, text in ALL_TEXTS:
        require(again.encode(text) == tokenizer.encode(text), f"{what}: it loads with other ids of {name}")


def _damage_cases(subject: Subject) -> list[Case]:
    kinds: Mapping[str, Callable[[bytes], bytes | None]] = {
        "gone": lambda whole: None,
        "empty": lambda whole: b"",
        "cut in half": lambda whole: whole[: len(whole) // 2],
        "its last bytes gone": lambda whole: whole[: len(whole) - len(whole) // 20 - 2],
        "zeros": lambda whole: bytes(len(whole)),
    }
    for eighth in range(1, 8):
        kinds = {**kinds, f"a byte changed at {eighth}/8": _changed_at(eighth)}
    return (
        [Case(name, {"damage": damage, "may_differ": name.startswith("a byte")}) for name, damage in kinds.items()]
        if once(subject)
        else []
    )


def _changed_at(eighth: int) -> Callable[[bytes], bytes]:
    def change(whole: bytes) -> bytes:
        at = len(whole) * eighth // 8
        return whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]

    return change


def _fingerprint(subject: Subject, case: Case) -> None:
    first, second = train_anew(subject, seed=0), train_anew(subject, seed=1)
    require(
        re.fullmatch("[0-9a-f]{64}", first.fingerprint) is not None,
        f"fingerprint {first.fingerprint!r} is not a SHA-256 in lower-case hex",
    )
    require(first.fingerprint != second.fingerprint, "tokenizers of other training text have one fingerprint")


def _same_training(subject: Subject, case: Case) -> None:
    first = train(subject)
    texts = training_text(0, first.vocab_size)
    for again in (train_anew(subject), factory_of(subject).train(iter(texts), vocab_size=first.vocab_size)):
        require(again.fingerprint == first.fingerprint, "training twice on the same text gives two fingerprints")
        require(again.encode(CPP) == first.encode(CPP), "training twice on the same text gives other ids")


LAWS: tuple[Law, ...] = (
    law(
        "save and load",
        "A saved tokenizer comes back with the same ids and fingerprint.",
        once,
        _save_and_load,
        [wrong.SavesHalf, wrong.NewFingerprintEachTime],
    ),
    law(
        "missing files",
        "Loading a folder without a tokenizer raises DataError.",
        once,
        _missing_files,
        factories=[wrong.LoadsNothingAsNew],
    ),
    law(
        "damaged files",
        "A file that is gone, cut or changed raises DataError, unless it does not matter; a changed byte may also"
        " show in the fingerprint.",
        _damage_cases,
        _damaged_files,
        [wrong.TrustsItsFile],
        [wrong.ReadsWhatIsLeft, wrong.CrashesOnDamage],
    ),
    law(
        "fingerprint",
        "The fingerprint is a SHA-256 that tells tokenizers of other training text apart.",
        once,
        _fingerprint,
        [wrong.ConstantFingerprint, wrong.ShortFingerprint],
    ),
    law(
        "same training",
        "The same training text gives the same tokenizer.",
        once,
        _same_training,
        [wrong.NewFingerprintEachTime],
        [wrong.ShuffledTraining],
    ),
)
