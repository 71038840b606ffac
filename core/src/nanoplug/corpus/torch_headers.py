"""The default corpus: C++ headers that ship inside the installed torch package and were written by hand."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from nanoplug.corpus.source_files import HEADERS, Scan, find_sources
from nanoplug.errors import DataError

FOLDERS = ("c10", "ATen/core", "ATen/native", "torch/csrc")
LIBRARY = "c10"
"""The one of them that stands on its own: clang reads it in seconds, and all of them in many minutes."""


def torch_include() -> Path:
    """The folder of the installed torch that holds `FOLDERS`, found without importing it.

    Raises DataError if torch is not installed, or without its headers.
    """
    spec = importlib.util.find_spec("torch")
    for place in spec.submodule_search_locations or [] if spec else []:
        include = Path(place, "include")
        if all((include / folder).is_dir() for folder in FOLDERS):
            return include
        raise _missing(str(include))
    raise _missing("torch is not installed")


def torch_headers(folders: Sequence[str] = FOLDERS) -> Scan:
    """The headers in these folders that are not marked as generated. Raises DataError as `torch_include` does."""
    include = torch_include()
    return find_sources([include / folder for folder in folders])


def _missing(what: str) -> DataError:
    return DataError(
        f"the C++ headers of torch are not here: {what}.",
        todo=f"Install torch from a wheel, or name a folder of C++ code ({' '.join(sorted(HEADERS))} and sources).",
    )
