"""What a run was made with: every resolved piece, so that a change of parts is seen and not silent."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import frozen

from nanoplug.errors import CheckpointError
from nanoplug.registry.machine import Machine
from nanoplug.registry.piece import Piece

FORMAT = 1
_HELD = (
    "site",
    "kind",
    "name",
    "id",
    "distribution",
    "version",
    "files_sha256",
    "options",
    "capabilities",
    "providers",
)
_TOLD = ("why", "rejected", "tuning")
_ABSENT = "(none)"


@frozen
class Receipt:
    """core, torch, python: versions. devices: product names. pieces: in order of site.

    `sha256` is over all of that but why a piece was chosen, by which measured times, and what was rejected.
    """

    core: str
    torch: str
    python: str
    devices: tuple[str, ...]
    pieces: tuple[Mapping[str, Any], ...]

    @classmethod
    def of(cls, pieces: Iterable[Piece], machine: Machine | None = None) -> Receipt:
        """The receipt of what was resolved, on this machine."""
        machine = machine or Machine.here()
        whole = [part for piece in pieces for part in (piece, piece.completed_by) if part is not None]
        rows = {piece.site: _row(piece) for piece in whole}
        return cls(
            core=importlib.metadata.version("nanoplug"),
            torch=machine.distribution("torch") or "",
            python=platform.python_version(),
            devices=machine.names,
            pieces=tuple(rows[site] for site in sorted(rows)),
        )

    @classmethod
    def from_json(cls, text: str) -> Receipt:
        """Raises CheckpointError if `text` is no receipt of this format."""
        try:
            document = json.loads(text)
            if document["format"] != FORMAT:
                raise ValueError(f"format {document['format']!r}, expected {FORMAT}")
            receipt = cls(
                core=document["core"],
                torch=document["torch"],
                python=document["python"],
                devices=tuple(document["devices"]),
                pieces=tuple(dict(piece) for piece in document["pieces"]),
            )
            for piece in receipt.pieces:
                _ = [piece[key] for key in (*_HELD, *_TOLD)]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"the receipt cannot be read: {type(error).__name__}: {error}.",
                todo="Restore receipt.json, or start the run afresh.",
            ) from error
        if document.get("sha256") != receipt.sha256:
            raise CheckpointError(
                f"the receipt says sha256 {document.get('sha256')}, its content gives {receipt.sha256}.",
                todo="It was edited or damaged: restore receipt.json, or start the run afresh.",
            )
        return receipt

    def to_json(self) -> str:
        document = {**self._held(), "pieces": list(self.pieces), "format": FORMAT, "sha256": self.sha256}
        return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    @property
    def sha256(self) -> str:
        canonical = json.dumps(self._held(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def agreement(self) -> str:
        """What all ranks must have alike: `sha256`, and the measured times by which a piece was chosen, by site."""
        chosen_by = [f"{piece['site']} {piece['tuning']}" for piece in self.pieces if piece["tuning"]]
        return "\n".join([self.sha256, *chosen_by])

    def _held(self) -> dict[str, Any]:
        return {
            "core": self.core,
            "torch": self.torch,
            "python": self.python,
            "devices": list(self.devices),
            "pieces": [{key: piece[key] for key in _HELD} for piece in self.pieces],
        }

    def differences(self, other: Receipt) -> list[str]:
        """What changed from this receipt to `other`, a line each; empty if and only if the hashes are equal."""
        lines = []
        for what in ("core", "torch", "python"):
            before, after = getattr(self, what), getattr(other, what)
            if before != after:
                lines.append(f"{what} {before or _ABSENT} -> {after or _ABSENT}")
        if self.devices != other.devices:
            lines.append(f"devices {', '.join(self.devices)} -> {', '.join(other.devices)}")
        old, new = ({piece["site"]: piece for piece in receipt.pieces} for receipt in (self, other))
        for site in sorted({*old, *new}):
            lines += _piece_lines(site, old.get(site), new.get(site))
        return lines


def _row(piece: Piece) -> dict[str, Any]:
    row = {key: getattr(piece, key) for key in (*_HELD, *_TOLD)}
    # Through JSON once, so that a receipt read back equals the one that was written.
    plain: dict[str, Any] = json.loads(
        json.dumps({**row, "options": dict(piece.options), "providers": dict(piece.providers)})
    )
    return plain


def _piece_lines(site: str, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> Iterator[str]:
    if old is None or new is None:
        piece, word = (old, "removed") if new is None else (new, "added")
        assert piece is not None
        yield f"{site} {piece['name']}  {piece['distribution']} {piece['version']} {word}"
        return
    who = f"{site} {new['name']}"
    if (old["name"], old["distribution"], old["kind"]) != (new["name"], new["distribution"], new["kind"]):
        yield (
            f"{site} {old['name']} -> {new['name']}"
            f"  {old['distribution']} {old['version']} -> {new['distribution']} {new['version']}"
        )
    elif old["version"] != new["version"]:
        yield f"{who}  {new['distribution']} {old['version']} -> {new['version']}"
    elif old["files_sha256"] != new["files_sha256"]:
        yield (
            f"{who}  {new['distribution']} {new['version']} files"
            f" {old['files_sha256'][:12] or _ABSENT} -> {new['files_sha256'][:12] or _ABSENT}"
        )
    for table in ("options", "capabilities", "providers"):
        for key in sorted({*old[table], *new[table]}):
            before, after = old[table].get(key, _ABSENT), new[table].get(key, _ABSENT)
            if before != after:
                yield f"{who} {table} {key} {before} -> {after}"
