"""What first loads in a child process came to, remembered in `<base>/probes.json`."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
from attrs import field, frozen

from nanoplug.base_folder import base_folder
from nanoplug.errors import NanoplugError
from nanoplug.registry.catalogue import Entry
from nanoplug.registry.machine import Machine
from nanoplug.registry.target import files_sha256
from nanoplug.whole_files import write_text

FORMAT = 1
OK, FAILED, CRASHED, HUNG = "ok", "failed", "crashed", "hung"


@frozen(kw_only=True)
class Verdict:
    """outcome: ok, failed (raised), crashed (ended the process) or hung. text: one sentence; cause: all of it.

    limit_s: the time that it had. installed: hash of the distributions that were there.
    """

    outcome: str
    text: str = ""
    cause: str = ""
    limit_s: float = 0.0
    installed: str = ""

    @property
    def ok(self) -> bool:
        return self.outcome == OK

    @property
    def quarantines(self) -> bool:
        return self.outcome in (CRASHED, HUNG)


@frozen
class Subject:
    """What a verdict is about. `place` names the row that it replaces; `facts` must all be as they were."""

    place: str
    facts: Mapping[str, str]

    @classmethod
    def of(cls, entry: Entry, machine: Machine) -> Subject:
        place = "|".join((sys.prefix, platform.node() if machine.gpus else "", entry.kind, entry.id))
        facts = {
            "distribution": f"{entry.distribution} {entry.version}",
            "files_sha256": files_sha256(entry.spec.load),
            "load": entry.spec.load,
            "python": machine.python,
            "torch": machine.distribution("torch") or "",
            "devices": ", ".join((*machine.devices, *(f"{gpu.name} {gpu.compute_capability}" for gpu in machine.gpus))),
        }
        return cls(place, facts)


@frozen(kw_only=True)
class Verdicts:
    """The file of verdicts. `warn` is told once when it cannot be read or written; nothing else stops for it."""

    path: Path = field(factory=lambda: base_folder() / "probes.json")
    _rows: dict[str, dict[str, Any]] = field(factory=dict, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._rows.update(self._read())

    def find(self, subject: Subject, limit_s: float) -> Verdict | None:
        """The verdict on exactly this, or None if it must be probed.

        A backend that raised may work once something else is installed; one that hung, with more time.
        """
        row = self._rows.get(subject.place)
        if row is None or row["facts"] != dict(subject.facts):
            return None
        verdict = Verdict(**row["verdict"])
        if verdict.outcome == FAILED and verdict.installed != installed():
            return None
        if verdict.outcome == HUNG and verdict.limit_s < limit_s:
            return None
        return verdict

    def forget(self, subjects: Iterable[Subject]) -> None:
        """Take these as never probed, in this object; the file keeps them until they are recorded anew."""
        for subject in subjects:
            self._rows.pop(subject.place, None)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Only one process probes at a time; what the one before found is read first."""
        known = set(self._rows)
        with locked(self.path.with_suffix(".turn")) as waited:
            if waited:
                self._rows.update({place: row for place, row in self._read().items() if place not in known})
            yield

    def record(self, subject: Subject, verdict: Verdict) -> None:
        """Remember a verdict, keeping what other processes recorded meanwhile."""
        row = {"facts": dict(subject.facts), "verdict": attrs.asdict(verdict)}
        self._rows[subject.place] = row
        try:
            with locked(self.path.with_suffix(".lock")):
                rows = self._read() | {subject.place: row}
                write_text(self.path, json.dumps({"format": FORMAT, "verdicts": rows}, indent=1, sort_keys=True))
        except (OSError, NanoplugError) as error:
            _say(f"what a first load came to is not remembered: {error}")

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
            rows = document["verdicts"] if document["format"] == FORMAT else {}
            for row in rows.values():
                Verdict(**row["verdict"]), row["facts"]
            return dict(rows)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            _say(f"{self.path} cannot be read and is made anew: {error}")
            return {}


def installed() -> str:
    """Changes when a distribution is installed, removed or upgraded; reads folder names alone."""
    names = []
    for folder in sys.path:
        try:
            names += [name for name in os.listdir(folder or ".") if name.endswith((".dist-info", ".egg-info"))]
        except OSError:
            continue
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Holds an advisory lock; gives whether another process had it. Without such locks the last writer wins."""
    try:
        import fcntl

        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "w")  # noqa: SIM115
    except (ImportError, OSError):
        yield False
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            waited = False
        except BlockingIOError:
            fcntl.flock(file, fcntl.LOCK_EX)
            waited = True
        yield waited


def _say(text: str) -> None:
    print(f"nanoplug: {text}", file=sys.stderr)
