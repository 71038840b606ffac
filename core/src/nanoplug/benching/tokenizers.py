"""Tokenizers against each other on the same texts: compression, and speed of encoding and decoding."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from attrs import evolve, field, frozen

from nanoplug.benching.results import dated, table
from nanoplug.benching.timing import in_turn, seconds
from nanoplug.conformance.trained_tokenizer import difference

Text = str | bytes
COLUMNS = {
    "name": "tokenizer",
    "family": "family",
    "vocab_size": "ids",
    "bytes_per_token": "bytes/token",
    "encode_first_mb_s": "first pass MB/s",
    "encode_mb_s": "encode MB/s",
    "encode_threads_mb_s": "on {threads} threads",
    "decode_mb_s": "decode MB/s",
    "round_trip": "round trip",
    "failed": "",
}


class Encoder(Protocol):
    """What is measured of a tokenizer; a peer of another library needs no more."""

    vocab_size: int

    def encode_batch(self, texts: Sequence[Text], *, threads: int = 4) -> list[list[int]]: ...

    def decode_bytes(self, ids: Sequence[int]) -> bytes: ...


@frozen(kw_only=True)
class Entrant:
    """open: gives it as if never used. check: why it is not to be measured, in words; empty if it passes.

    made_of: versions of what serves it. fingerprint: empty for a peer.
    """

    name: str
    family: str
    open: Callable[[], Encoder]
    check: Callable[[Encoder], str]
    made_of: Mapping[str, str] = field(factory=dict)
    fingerprint: str = ""
    folder: str = ""


@frozen(kw_only=True)
class TokenizerResult:
    """Speeds are MB of text a second, 1 MB = 10^6 bytes. encode_first_mb_s: of the first pass of one that was just
    opened, one thread, its caches empty; encode_mb_s: median of the later ones. None where `failed` says why.
    """

    entrant: Entrant
    vocab_size: int
    round_trip: bool = False
    tokens: int | None = None
    bytes_per_token: float | None = None
    encode_first_mb_s: float | None = None
    encode_mb_s: float | None = None
    encode_threads_mb_s: float | None = None
    decode_mb_s: float | None = None
    failed: str = ""


def measure(
    entrants: Sequence[Entrant], texts: Sequence[bytes], *, threads: int, rounds: int, say: Callable[[str], None]
) -> list[TokenizerResult]:
    """Each on all texts: first verified, then in turn, so that drift of the machine hits all alike.

    The one with the most bytes a token comes first; those that failed come last.
    """
    as_read = [_as_read(data) for data in texts]
    size_mb = sum(map(len, texts)) / 1e6
    proven: list[tuple[TokenizerResult, Encoder]] = []
    failed: list[TokenizerResult] = []
    for entrant in entrants:
        say(f"verifying {entrant.name}")
        result, encoder = _first_pass(entrant, texts, as_read, size_mb)
        if result.failed:
            failed.append(result)
        else:
            proven.append((result, encoder))
    calls: list[Callable[[], Any]] = []
    for _, encoder in proven:
        calls += _calls(encoder, as_read, threads)
    say(f"measuring {len(proven)} on {size_mb:,.1f} MB, {rounds} rounds")
    times = in_turn(calls, lambda call: seconds(call, lambda: None), rounds=rounds, warmup=0)
    speeds = [size_mb / statistics.median(of_call) for of_call in times]
    measured = [
        evolve(result, encode_mb_s=single, encode_threads_mb_s=many, decode_mb_s=decoded)
        for (result, _), single, many, decoded in zip(proven, speeds[::3], speeds[1::3], speeds[2::3], strict=True)
    ]
    return [*sorted(measured, key=lambda result: -(result.bytes_per_token or 0.0)), *failed]


def _as_read(data: bytes) -> Text:
    """Text as a loader gives it; bytes where they are not UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data


def _first_pass(
    entrant: Entrant, texts: Sequence[bytes], as_read: Sequence[Text], size_mb: float
) -> tuple[TokenizerResult, Encoder]:
    checked = entrant.open()
    why = entrant.check(checked)
    if why:
        return TokenizerResult(entrant=entrant, vocab_size=checked.vocab_size, failed=f"not measured: {why}"), checked
    fresh = entrant.open()
    ids: list[list[int]] = []
    first_s = seconds(lambda: ids.extend(fresh.encode_batch(as_read, threads=1)), lambda: None)
    result = TokenizerResult(entrant=entrant, vocab_size=fresh.vocab_size)
    for number, (data, of_text) in enumerate(zip(texts, ids, strict=True), 1):
        back = fresh.decode_bytes(of_text)
        if back != data:
            lost = f"not measured: text {number} does not come back: {difference(data, back)}"
            return evolve(result, failed=lost), fresh
    tokens = sum(map(len, ids))
    return (
        evolve(
            result,
            round_trip=True,
            tokens=tokens,
            bytes_per_token=1e6 * size_mb / tokens,
            encode_first_mb_s=size_mb / first_s,
        ),
        fresh,
    )


def _calls(encoder: Encoder, as_read: Sequence[Text], threads: int) -> list[Callable[[], Any]]:
    """One thread, many threads, and decoding."""
    ids = encoder.encode_batch(as_read, threads=1)

    def decode() -> None:
        for of_text in ids:
            encoder.decode_bytes(of_text)

    return [
        lambda: encoder.encode_batch(as_read, threads=1),
        lambda: encoder.encode_batch(as_read, threads=threads),
        decode,
    ]


def rows(results: Sequence[TokenizerResult], terms: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row of plain values for each result. terms: what all have in common, such as the texts and the machine."""
    return [
        dated(
            "bench tokenizer",
            {
                **terms,
                "name": result.entrant.name,
                "family": result.entrant.family,
                "folder": result.entrant.folder,
                "fingerprint": result.entrant.fingerprint,
                "made_of": dict(result.entrant.made_of),
                "vocab_size": result.vocab_size,
                "round_trip": result.round_trip,
                "unit": "MB/s, median; 1 MB = 1e6 bytes of text",
                "tokens": result.tokens,
                "bytes_per_token": result.bytes_per_token,
                "encode_first_mb_s": result.encode_first_mb_s,
                "encode_mb_s": result.encode_mb_s,
                "encode_threads_mb_s": result.encode_threads_mb_s,
                "decode_mb_s": result.decode_mb_s,
                "failed": result.failed,
            },
        )
        for result in results
    ]


def shown(of_texts: Sequence[Mapping[str, Any]]) -> str:
    """The table; a column that nobody has a value for is left out."""
    threads = of_texts[0]["threads"]
    titles = {key: title.format(threads=threads) for key, title in COLUMNS.items()}
    named = [{titles[key]: _cell(key, row[key]) for key in COLUMNS} for row in of_texts]
    return table(named, [title for title in titles.values() if any(row[title] is not None for row in named)])


def _cell(key: str, value: Any) -> Any:
    if key == "round_trip":
        return "exact" if value else "no"
    if key == "vocab_size":
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3f}" if key == "bytes_per_token" else f"{value:,.1f}"
    return value or None
