"""Which files and ranges of a project must not be trained on: licences that are not permitted, keys and tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from nanoplug.corpus.licences import LicencePolicy, licences_of
from nanoplug.corpus.printable import printable
from nanoplug.corpus.project_documents import Screened
from nanoplug.corpus.project_index import ProjectIndex
from nanoplug.corpus.secret_filter import find_secrets
from nanoplug.corpus.source_bytes import SourceBytes


@frozen
class Screening:
    """licences: files by SPDX expression. secrets: what looks like one, by kind, as `file:line` each."""

    screened: Screened
    licences: Mapping[str, int]
    secrets: Mapping[str, tuple[str, ...]]


def screen_project(index: ProjectIndex, root: Path, policy: LicencePolicy, *, secrets: bool) -> Screening:
    """Judge every file that has a definition. secrets: whether to look for keys and tokens."""
    source = SourceBytes(index, root)
    files = {file: source.of(file) for file in dict.fromkeys(each.file for each in index.definitions)}
    licences = licences_of(root, files)
    refused = {file: f"licence {name}" for file, name in licences.items() if not policy.permits(name)}
    ranges: dict[str, tuple[tuple[int, int, str], ...]] = {}
    places: dict[str, list[str]] = {}
    for file, data in files.items() if secrets else ():
        if file in refused:
            continue
        found = find_secrets(data)
        if found:
            ranges[file] = tuple((each.start, each.end, "holds a key or token") for each in found)
        for each in found:
            places.setdefault(each.kind, []).append(f"{printable(file)}:{data.count(bytes([10]), 0, each.start) + 1}")
    return Screening(
        Screened(refused, ranges),
        dict(sorted(Counter(licences.values()).items())),
        {kind: tuple(where) for kind, where in sorted(places.items())},
    )
