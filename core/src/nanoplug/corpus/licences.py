"""Under which licence each file of a project is, and which of those may be trained on."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import license_expression
from attrs import field, frozen
from identify import identify

from nanoplug.errors import ConfigError, nearest

POLICIES = ("permissive", "strict", "any")
UNKNOWN = "unknown"
_TOP_BYTES = 4096
_SPDX = re.compile(r"SPDX-License-Identifier:\s*([^\r\n]+?)\s*(?:\*/|-->)?\s*$", re.MULTILINE)
_FILE_NAME = re.compile(r"(?i)(?:un)?licen[cs]e|copying")
# What authors paste at the top of a file, in words that its licence asks for. The first that is found counts.
_NOTICES: tuple[tuple[str, str], ...] = (
    (r"GNU Affero General Public License", "AGPL-3.0-or-later"),
    (r"GNU (?:Lesser|Library) General Public License", "LGPL-2.1-or-later"),
    (r"GNU General Public License", "GPL-2.0-or-later"),
    (r"Mozilla Public License", "MPL-2.0"),
    (r"Eclipse Public License", "EPL-2.0"),
    (r"Business Source License", "BUSL-1.1"),
    (r"Server Side Public License", "SSPL-1.0"),
    (r"reproduction, disclosure or distribution .{0,200}strictly prohibited", "LicenseRef-proprietary"),
    (r"Licensed under the Apache License,? Version 2\.0", "Apache-2.0"),
    (r"Boost Software License", "BSL-1.0"),
    (r"Permission is hereby granted, free of charge, to any person obtaining a copy", "MIT"),
    (r"Redistribution and use in source and binary forms", "BSD-3-Clause"),
)
_PATTERNS = [(re.compile(words.replace(" ", r"[\s*/#]+"), re.IGNORECASE | re.DOTALL), name) for words, name in _NOTICES]


@frozen(kw_only=True)
class LicencePolicy:
    """kind: `permissive` leaves out what is under a licence known not to be permissive, `strict` also what has none
    that could be told, `any` leaves out nothing. permit: SPDX identifiers permitted in any case.
    """

    kind: str = "permissive"
    permit: tuple[str, ...] = field(default=(), converter=tuple)

    def __attrs_post_init__(self) -> None:
        if self.kind not in POLICIES:
            raise ConfigError(f"unknown licence policy {self.kind!r}{nearest(self.kind, POLICIES)}.")
        for name in self.permit:
            if name.lower() not in _categories():
                raise ConfigError(f"{name!r} is no SPDX licence identifier{nearest(name, _categories())}.")

    def permits(self, licence: str) -> bool:
        """licence: an SPDX expression, or `UNKNOWN`. Of an `OR` one side is enough, of an `AND` both are needed."""
        if self.kind == "any":
            return True
        if licence == UNKNOWN:
            return self.kind == "permissive"
        return _is_permitted(_parsed(licence), {name.lower() for name in self.permit})


def licences_of(root: Path, files: Mapping[str, bytes]) -> dict[str, str]:
    """The licence of each file, as an SPDX expression or `UNKNOWN`. files: their bytes by path below `root`.

    It is what the file's first lines say (an SPDX identifier, or a usual notice), else what the licence file in its
    folder, or in the nearest folder above up to `root`, is recognised as.
    """
    of_folder: dict[Path, str] = {}
    found: dict[str, str] = {}
    for path, data in files.items():
        stated = stated_licence(data[:_TOP_BYTES].decode("utf-8", "replace"))
        found[path] = stated or _above((root / path).parent, root, of_folder)
    return found


def stated_licence(top: str) -> str | None:
    """The licence that the first lines of a file state, `UNKNOWN` if it is no SPDX expression; None without one."""
    identifier = _SPDX.search(top)
    if identifier is not None:
        return identifier.group(1) if _is_expression(identifier.group(1)) else UNKNOWN
    return next((name for pattern, name in _PATTERNS if pattern.search(top)), None)


def _above(folder: Path, root: Path, known: dict[Path, str]) -> str:
    if folder not in known:
        names = [_recognised(path) for path in _licence_files(folder)]
        told = sorted({name for name in names if name is not None})
        if told:
            known[folder] = " OR ".join(told)
        else:
            known[folder] = UNKNOWN if names or folder == root else _above(folder.parent, root, known)
    return known[folder]


def _licence_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if _FILE_NAME.match(path.name) and path.is_file())


def _recognised(path: Path) -> str | None:
    """The licence whose text the file holds, by edit distance, or the one that its notice names."""
    try:
        text = path.read_text("utf-8", "replace")
    except OSError:
        return None
    name: str | None = identify.license_id(str(path))
    return name or stated_licence(text)


@cache
def _categories() -> Mapping[str, str]:
    """What kind each licence is, by SPDX identifier in lower case."""
    return {
        name.lower(): entry["category"]
        for entry in license_expression.get_license_index()
        for name in (entry.get("spdx_license_key"), *entry.get("other_spdx_license_keys", ()))
        if name
    }


@cache
def _licensing() -> Any:
    return license_expression.get_spdx_licensing()


def _parsed(expression: str) -> Any:
    try:
        return _licensing().parse(expression)
    except license_expression.ExpressionError:
        return None


def _is_expression(text: str) -> bool:
    parsed = _parsed(text)
    names = _licensing().license_keys(parsed) if parsed is not None else []
    return bool(names) and all(name.lower() in _categories() or name.startswith("LicenseRef-") for name in names)


def _is_permitted(node: Any, permit: Collection[str]) -> bool:
    arguments = getattr(node, "args", ())
    if arguments:
        judged = [_is_permitted(each, permit) for each in arguments]
        return any(judged) if isinstance(node, _licensing().OR) else all(judged)
    # An exception only ever adds permissions.
    name = getattr(node, "license_symbol", node).key.lower()
    return name in permit or _categories().get(name, "") in ("Permissive", "Public Domain")
