"""What takes the documents of a run."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from attrs import frozen

from nanoplug.data.fim_pairs import Pair
from nanoplug.data.shards import Document

FORMAT = 1
PAIRS_NAME = "fim_pairs.jsonl"


@frozen(kw_only=True)
class Split:
    """What is for training and what for validation. val_projects: those held out whole. pairs: written for FIM."""

    train_documents: int
    train_bytes: int
    val_documents: int = 0
    val_bytes: int = 0
    val_projects: tuple[str, ...] = ()
    train_shards: int = 0
    pairs: int = 0


class IndexOutput(Protocol):
    """Takes documents in any order of projects. splits: whether some are for validation."""

    @property
    def splits(self) -> bool: ...

    def known(self) -> set[bytes]:
        """SHA-256 of the texts that are there already."""
        ...

    def add(self, document: Document, *, held_out: bool) -> None: ...

    def restart(self) -> None:
        """Forget what was added."""
        ...

    def finish(self, pairs: Mapping[str, Sequence[Pair]], report: Mapping[str, Any]) -> Split:
        """Write it all. pairs: for fill in the middle, by project. report: what else `data.json` says."""
        ...


def pair_lines(pairs: Mapping[str, Sequence[Pair]], *, without: Collection[str]) -> list[str]:
    """Pairs as JSON lines, each once; those of the projects `without` are left out."""
    kept = (pair for project, each in pairs.items() if project not in without for pair in each)
    rows = ({"docstring": pair.docstring, "signature": pair.signature, "body": pair.body} for pair in kept)
    return list(dict.fromkeys(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
