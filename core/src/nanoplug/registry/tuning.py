"""What backends took on this machine, by kind of shape, in `<base>/tuning.json`; `auto` may order candidates by it.

`nanoplug bench --tune` measures and records. Times of other files or versions are not used, and that is said.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import field, frozen

from nanoplug.base_folder import base_folder
from nanoplug.registry.catalogue import Entry
from nanoplug.registry.machine import Machine
from nanoplug.registry.request import Request
from nanoplug.registry.target import files_sha256
from nanoplug.registry.verdicts import locked
from nanoplug.registry.versions import parse_requirement
from nanoplug.whole_files import write_text

FORMAT = 1
LOSS = "linear_cross_entropy"
FILES = "files_sha256"


@frozen(kw_only=True)
class Time:
    """One backend at one shape. made_of: versions of its distribution and of what that needs, and its files' hash.

    forward_ms, training_ms (forward and backward): medians; None where it did not run, for which `failed` says why.
    """

    made_of: Mapping[str, str]
    forward_ms: float | None = None
    training_ms: float | None = None
    failed: str = ""

    def ms(self, training: bool) -> float | None:
        return self.training_ms if training else self.forward_ms


@frozen(kw_only=True)
class Profile:
    """What was measured for one bucket. shape: that it was measured at. times: by the backend's id."""

    date: str
    shape: str
    compiled: bool
    times: Mapping[str, Time]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(json.dumps(attrs.asdict(self), sort_keys=True).encode()).hexdigest()

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Profile:
        return cls(**{**row, "times": {who: Time(**time) for who, time in row["times"].items()}})


@frozen(kw_only=True)
class Timed:
    """What the profile says of one backend. ms: None if it has no time, for which `failed` says why."""

    date: str
    sha256: str
    ms: float | None
    failed: str = ""

    @property
    def order(self) -> float:
        return math.inf if self.ms is None else self.ms

    def __str__(self) -> str:
        when = f"tuned for this shape on {self.date}"
        return f"{when}: {self.failed}" if self.ms is None else f"{when}: {self.ms:.3g} ms"


@frozen
class Tuning:
    """The file of profiles. One that cannot be read is said to be so and taken as empty."""

    path: Path = field(factory=lambda: base_folder() / "tuning.json")

    def profile(self, bucket: str) -> Profile | None:
        return self._read().get(bucket)

    def record(self, profiles: Mapping[str, Profile]) -> None:
        """Put profiles in place of those of the same buckets, keeping the others."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.path.with_suffix(".lock")):
            rows = {bucket: attrs.asdict(profile) for bucket, profile in {**self._read(), **profiles}.items()}
            document = {"format": FORMAT, "profiles": rows}
            write_text(self.path, json.dumps(document, indent=1, sort_keys=True) + "\n")

    def judge(
        self, kind: str, request: Request, machine: Machine, ready: Iterable[Entry]
    ) -> tuple[Mapping[str, Timed], str]:
        """What is known of the `ready` backends by id, and why a profile that is there is not used.

        Empty unless every one of them was measured as it is installed now, and one of them ran.
        """
        bucket = bucket_of(kind, request, machine)
        profile = self.profile(bucket) if bucket else None
        if profile is None:
            return {}, ""
        timed = {}
        unused = f"the times of {profile.date} are not used"
        for entry in ready:
            time = profile.times.get(entry.id)
            if time is None:
                return {}, f"{unused}: {entry.name} is not among them"
            changed = _changed(time.made_of, made_of(entry, machine))
            if changed:
                return {}, f"{unused}: {entry.name} has changed since ({changed})"
            ms = time.ms(bool(request.backward))
            timed[entry.id] = Timed(date=profile.date, sha256=profile.sha256, ms=ms, failed=time.failed)
        if all(one.ms is None for one in timed.values()):
            return {}, f"{unused}: no backend that is ready ran there" if timed else ""
        return timed, ""

    def _read(self) -> dict[str, Profile]:
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
            if document["format"] != FORMAT:
                raise ValueError(f"format {document['format']!r}, expected {FORMAT}")
            return {bucket: Profile.from_dict(row) for bucket, row in document["profiles"].items()}
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            print(f"nanoplug: {self.path} cannot be read and is not used: {error}", file=sys.stderr)
            return {}


def made_of(entry: Entry, machine: Machine) -> dict[str, str]:
    """What a backend's time depends on: versions of its distribution and of those that it needs, and its files."""
    needed = {parse_requirement(requirement)[0] for requirement in entry.spec.needs.distributions}
    versions = {name: machine.distribution(name) or "" for name in sorted(needed | {"torch"})}
    return {**versions, entry.distribution: entry.version, FILES: files_sha256(entry.spec.load)}


def _changed(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    """The first thing that differs, in words; empty if nothing does."""
    for what in sorted({*then, *now}):
        before, after = then.get(what, ""), now.get(what, "")
        if before != after:
            return "its files" if what == FILES else f"{what} {before or '(none)'} -> {after or '(none)'}"
    return ""


def bucket_of(kind: str, request: Request, machine: Machine) -> str | None:
    """The bucket of shapes that a request falls into on a machine; None if it leaves open what decides times.

    Tokens, windows, rows and vocabulary count as the nearest power of two, the width of the loss as the nearest half
    power. Calls with a cache, and attention to all keys, are not measured and have no bucket.
    """
    device = request.device or machine.devices[0]
    if kind == "attention":
        shape = _attention_shape(request)
    elif kind == "kernel":
        shape = _loss_shape(request)
    else:
        shape = None
    if shape is None or request.dtype is None:
        return None
    return f"{kind} | {place(machine, device)} | {request.dtype} {shape}"


def place(machine: Machine, device: str) -> str:
    """The product name of the GPU, or the type of device, the name of the machine, its processor and its cores."""
    if device == "cuda" and machine.gpus:
        return machine.gpus[0].name
    return f"{device} of {platform.node()}, {platform.machine()} x {os.cpu_count()}"


def _attention_shape(request: Request) -> str | None:
    tokens, heads, kv_heads = request.tokens, request.heads, request.kv_heads
    if not tokens or not heads or not kv_heads or request.head_dim is None or request.cache or request.noncausal:
        return None
    window = request.window if request.window is not None and 0 <= request.window < tokens - 1 else -1
    parts = [f"D={request.head_dim}", f"H/G={heads // kv_heads}", f"T={power_of_two(tokens)}"]
    parts += [f"window={power_of_two(window)}"] if window >= 0 else []
    parts += ["segments"] if request.segments else []
    return " ".join(parts)


def _loss_shape(request: Request) -> str | None:
    rows, width, vocabulary = request.rows, request.width, request.vocabulary
    if not rows or not width or not vocabulary or (request.ops or {LOSS}) != {LOSS}:
        return None
    parts = [f"N={power_of_two(rows)}", f"D={round(2 ** (round(2 * math.log2(width)) / 2))}"]
    parts += [f"V={power_of_two(vocabulary)}"]
    parts += ["softcap"] if request.softcap else []
    return " ".join(parts)


def power_of_two(number: int) -> int:
    """The power of two whose logarithm is nearest; 0 for 0."""
    return int(2 ** round(math.log2(number))) if number > 0 else 0
