"""Which file of the project a path leads to."""

from __future__ import annotations

import os
from collections.abc import Mapping


class ProjectPaths:
    """names: real path to the file's name below the root."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names
        self._known: dict[str, str] = {}

    def name_of(self, path: str) -> str:
        """The name below the project's root, or "" if the path leads elsewhere."""
        if path not in self._known:
            self._known[path] = self._names.get(path) or self._names.get(os.path.realpath(path), "")
        return self._known[path]
