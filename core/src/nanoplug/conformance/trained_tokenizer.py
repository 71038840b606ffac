"""The laws of one tokenizer as it was trained or imported: held on the user's files and on random byte strings."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

from attrs import define, field, frozen

from nanoplug.conformance.tokenizer_subject import ALL_TEXTS, utf8
from nanoplug.conformance.tokenizer_texts import random_strings
from nanoplug.contracts import Tokenizer
from nanoplug.errors import NanoplugError

BATCH_BYTES = 4_000_000
BATCH_TEXTS = 2000
SAMPLE_TEXTS = 400
SAMPLE_BYTES = 20_000
SHOWN = 3


@frozen(kw_only=True)
class Finding:
    """One law. detail: on what it held, or what broke it."""

    law: str
    ok: bool
    detail: str


@define
class Tally:
    """What came of encoding some texts. broken: for each law, the texts that broke it and how."""

    texts: int = 0
    size_bytes: int = 0
    tokens: int = 0
    sample: list[bytes] = field(factory=list)
    broken: dict[str, list[str]] = field(factory=dict)

    def add(self, law: str, name: str, detail: str) -> None:
        self.broken.setdefault(law, []).append(f"{name}: {detail}")


ROUND_TRIP, SPECIAL, RANGE, SUMS = "round trip", "no special from text", "ids in range", "bytes add up"


class TrainedTokenizer:
    """A tokenizer under test. load: opens a folder that it is saved to. threads: for batches.

    engines: the same tokenizer served otherwise, by name; the ids must be the same.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        load: Callable[[Path], Tokenizer],
        *,
        engines: Mapping[str, Tokenizer] | None = None,
        threads: int = 2,
    ) -> None:
        self._tokenizer, self._load, self._threads = tokenizer, load, threads
        self._engines = {f"ids by {name}": other for name, other in (engines or {}).items()}
        self._special = frozenset(tokenizer.special.values())
        self._bytes_refused = ""
        self._bytes: Sequence[int] = ()
        try:
            self._bytes = tokenizer.bytes_per_token
        except NanoplugError as error:
            self._bytes_refused = f"{error.message} {error.todo}".rstrip()

    def findings(self, files: Iterable[tuple[str, bytes]], *, random: int, seed: int = 0) -> list[Finding]:
        """Every law. files: name and content of each. random: how many random byte strings."""
        spelled = list(self._tokenizer.special)
        strings = (
            (f"string {number} {data!r}", data) for number, data in enumerate(random_strings(seed, random, spelled))
        )
        tallies = {
            "texts of the kit": self._tally((name, utf8(text)) for name, text in ALL_TEXTS),
            "files": self._tally(files),
            "random strings": self._tally(strings),
        }
        found = []
        for what, tally in tallies.items():
            if tally.texts:
                held = f"{tally.texts:,} {what}, {tally.size_bytes:,} bytes"
                rate = f", {tally.size_bytes / tally.tokens:.3f} bytes a token" if tally.tokens else ""
                found.append(_finding(f"{ROUND_TRIP}: {what}", tally.broken.get(ROUND_TRIP, []), held + rate))
        every = list(tallies.values())
        held = f"{sum(tally.texts for tally in every):,} texts, {sum(tally.tokens for tally in every):,} tokens"
        for law in (SPECIAL, RANGE, SUMS, *self._engines):
            if law == SUMS and self._bytes_refused:
                found.append(Finding(law=SUMS, ok=False, detail=self._bytes_refused))
            else:
                found.append(_finding(law, [line for tally in every for line in tally.broken.get(law, [])], held))
        if not self._bytes_refused:
            found.append(self._table())
        sample = [data for tally in every for data in tally.sample]
        return [*found, self._spellings(), self._ways(sample), self._saved(sample)]

    def _tally(self, texts: Iterable[tuple[str, bytes]]) -> Tally:
        tally, waiting, held = Tally(), list[tuple[str, bytes]](), 0
        for name, data in texts:
            waiting.append((name, data))
            held += len(data)
            if held >= BATCH_BYTES or len(waiting) >= BATCH_TEXTS:
                self._count(tally, waiting)
                waiting, held = [], 0
        self._count(tally, waiting)
        return tally

    def _count(self, tally: Tally, texts: Sequence[tuple[str, bytes]]) -> None:
        tally.sample += [
            data for _, data in islice(texts, SAMPLE_TEXTS - len(tally.sample)) if len(data) <= SAMPLE_BYTES
        ]
        encoded = self._encoded(self._tokenizer, tally, texts)
        for law, engine in self._engines.items():
            others = self._encoded(engine, Tally(), texts)
            for (name, _), ids, other in zip(texts, encoded, others, strict=True):
                if ids != other:
                    tally.add(law, name, "other ids")
        for (name, data), ids in zip(texts, encoded, strict=True):
            tally.texts += 1
            tally.size_bytes += len(data)
            if ids is None:
                continue
            tally.tokens += len(ids)
            outside = [id for id in ids if not 0 <= id < self._tokenizer.vocab_size]
            if outside:
                tally.add(RANGE, name, f"id {outside[0]} is not from 0 to {self._tokenizer.vocab_size - 1}")
                continue
            if not self._special.isdisjoint(ids):
                tally.add(SPECIAL, name, f"yields the special ids {sorted(self._special.intersection(ids))}")
            back = self._tokenizer.decode_bytes(ids)
            if back != data:
                tally.add(ROUND_TRIP, name, difference(data, back))
            counted = sum(map(self._bytes.__getitem__, ids)) if self._bytes else len(data)
            if counted != len(data):
                tally.add(SUMS, name, f"counts {counted:,} for {len(data):,} bytes")

    def _encoded(
        self, tokenizer: Tokenizer, tally: Tally, texts: Sequence[tuple[str, bytes]]
    ) -> list[list[int] | None]:
        try:
            return list(tokenizer.encode_batch([data for _, data in texts], threads=self._threads))
        except NanoplugError:
            return [_encoded_alone(tokenizer, tally, name, data) for name, data in texts]

    def _table(self) -> Finding:
        size, ids = self._tokenizer.vocab_size, range(self._tokenizer.vocab_size)
        broken = [] if len(self._bytes) == size else [f"{len(self._bytes):,} entries for {size:,} ids"]
        for id in ids if not broken else ():
            own = self._tokenizer.decode_bytes([id])
            if len(own) != self._bytes[id] or (own and id in self._special):
                broken.append(f"id {id} is {own!r} and counts {self._bytes[id]}")
        return _finding("bytes of each id", broken, f"{size:,} ids, {sum(self._bytes):,} bytes")

    def _spellings(self) -> Finding:
        broken = []
        for name in self._tokenizer.special:
            for text in (name, f"x{name}y", f" {name}\n{name}", f"{name}{name}"):
                try:
                    ids = self._tokenizer.encode(text)
                except NanoplugError as error:
                    broken.append(f"{text!r}: {error.message}")
                    continue
                if not self._special.isdisjoint(ids):
                    broken.append(f"{text!r} yields a special id")
        return _finding("special tokens spelled in text", broken, f"{len(self._tokenizer.special)} names")

    def _ways(self, sample: Sequence[bytes]) -> Finding:
        """Alone or in a batch, on any number of threads, as bytes or as a string."""
        usable, single = self._usable(sample)
        broken = [
            f"{threads} threads give other ids than one text at a time"
            for threads in (1, 2, 4)
            if self._tokenizer.encode_batch(usable, threads=threads) != single
        ]
        for data, ids in zip(usable, single, strict=True):
            try:
                text = data.decode("utf-8")
            except UnicodeDecodeError:
                continue
            if self._tokenizer.encode(text) != ids:
                broken.append(f"{data[:40]!r} has other ids as a string")
        return _finding("batch, single, str and bytes agree", broken, f"{len(usable):,} texts, 1, 2 and 4 threads")

    def _saved(self, sample: Sequence[bytes]) -> Finding:
        with tempfile.TemporaryDirectory() as folder:
            self._tokenizer.save(Path(folder))
            again = self._load(Path(folder))
        law = "save and load"
        for name in ("fingerprint", "vocab_size"):
            old, new = getattr(self._tokenizer, name), getattr(again, name)
            if old != new:
                return Finding(law=law, ok=False, detail=f"{name} was {old} and is {new}")
        if dict(again.special) != dict(self._tokenizer.special):
            return Finding(law=law, ok=False, detail="special ids differ")
        return self._same(law, again, sample)

    def _same(self, law: str, other: Tokenizer, sample: Sequence[bytes]) -> Finding:
        usable, single = self._usable(sample)
        broken = [
            f"{data[:40]!r} has other ids"
            for data, ids in zip(usable, single, strict=True)
            if other.encode(data) != ids
        ]
        return _finding(law, broken, f"{len(usable):,} texts, fingerprint {other.fingerprint[:12]}")

    def _usable(self, sample: Sequence[bytes]) -> tuple[list[bytes], list[list[int]]]:
        """Those that can be encoded, which is another law, and their ids."""
        unseen = Tally()
        encoded = [(data, _encoded_alone(self._tokenizer, unseen, "", data)) for data in sample]
        return [data for data, ids in encoded if ids is not None], [ids for _, ids in encoded if ids is not None]


def _encoded_alone(tokenizer: Tokenizer, tally: Tally, name: str, data: bytes) -> list[int] | None:
    try:
        return tokenizer.encode(data)
    except NanoplugError as error:
        tally.add(ROUND_TRIP, name, error.message)
        return None


def difference(data: bytes, back: bytes) -> str:
    """Where what came back differs, in words."""
    at = next(
        (i for i, pair in enumerate(zip(data, back, strict=False)) if pair[0] != pair[1]), min(len(data), len(back))
    )
    return f"byte {at:,}: {data[at : at + 20]!r} came back as {back[at : at + 20]!r}"


def _finding(law: str, broken: Sequence[str], held: str) -> Finding:
    more = f"; and {len(broken) - SHOWN:,} more" if len(broken) > SHOWN else ""
    return Finding(law=law, ok=not broken, detail="; ".join(broken[:SHOWN]) + more if broken else held)
