"""Whether a backend passes its laws here: run once for given files, versions and device, then remembered."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from nanoplug.benching.contender import Contender
from nanoplug.conformance.kit import Report, run_laws
from nanoplug.conformance.law import Subject
from nanoplug.registry.target import files_sha256
from nanoplug.whole_files import write_text

FORMAT = 1


@frozen(kw_only=True)
class Proof:
    """passed: no law is broken, and each rejects its wrong implementations. text: what was found, in a line."""

    passed: bool
    text: str


@frozen
class Proofs:
    """The file of proofs. place: the machine that they are of."""

    path: Path
    place: str

    def of(self, contender: Contender, device: str, say: Callable[[str], None]) -> Proof:
        """What its laws say of a contender on `device`; `say` is told when they are run now."""
        kind = contender.spec.kind
        known = self._read().get(self._who(kind, contender.id, device))
        if known is not None and known["facts"] == _facts(contender.made_of):
            return Proof(**known["proof"])
        say(f"verifying {kind} {contender.name} on {device}; what is found is remembered")
        subject = Subject(kind=kind, name=contender.name, spec=contender.spec, backend=contender.backend, device=device)
        return self.record(run_laws(subject), id=contender.id, made_of=contender.made_of)

    def record(self, report: Report, *, id: str, made_of: Mapping[str, str]) -> Proof:
        """Remember what the laws said of backend `id`; made_of: its files and versions, by `tuning.made_of`."""
        proof = _proof(report)
        who = self._who(report.subject.kind, id, report.subject.device)
        self._record(who, {"facts": _facts(made_of), "proof": asdict(proof)})
        return proof

    def _who(self, kind: str, id: str, device: str) -> str:
        return f"{kind} {id} on {device} of {self.place}"

    def _record(self, who: str, row: Mapping[str, object]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        document = {"format": FORMAT, "proofs": {**self._read(), who: row}}
        write_text(self.path, json.dumps(document, indent=1, sort_keys=True) + "\n")

    def _read(self) -> dict[str, Any]:
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
            if document["format"] != FORMAT:
                raise ValueError(f"format {document['format']!r}, expected {FORMAT}")
            for row in document["proofs"].values():
                Proof(**row["proof"]), dict(row["facts"])
            return dict(document["proofs"])
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            print(f"nanoplug: {self.path} cannot be read and is made anew: {error}", file=sys.stderr)
            return {}


def _facts(made_of: Mapping[str, str]) -> dict[str, str]:
    # The laws themselves are files of nanoplug.
    return {**made_of, "laws": files_sha256("nanoplug.conformance.kit:run_laws")}


def _proof(report: Report) -> Proof:
    broken = [law.law.name for law in report.laws if law.failures]
    unproven = [law.law.name for law in report.laws if law.survived]
    if report.proved:
        return Proof(passed=True, text=f"{len(report.outcomes)} cases passed")
    found = [f"breaks {', '.join(broken)}"] if broken else []
    found += [f"laws that let a wrong implementation pass: {', '.join(unproven)}"] if unproven else []
    return Proof(passed=False, text="; ".join(found) or "no law has a case for what it declares")
