"""The default corpus: C++ headers that ship inside the installed torch package and were written by hand."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from nanoplug.corpus.source_files import HEADERS, Scan, find_sources
from nanoplug.errors import DataError

FOLDERS = ("c10", "ATen/core", "ATen/native", "torch/csrc")


def torch_headers() -> Scan:
    """The headers of c10, ATen/core, ATen/native and torch/csrc that are not marked as generated.

    Found without importing torch. Raises DataError if torch is not installed, or without its headers.
    """
    spec = importlib.util.find_spec("torch")
    places = list(spec.submodule_search_locations or []) if spec else []
    roots = [Path(place, "include", folder) for place in places for folder in FOLDERS]
    if not roots or not all(root.is_dir() for root in roots):
        raise DataError(
            f"the C++ headers of torch are not here: {places[0] + '/include' if places else 'torch is not installed'}.",
            todo=f"Install torch from a wheel, or name a folder of C++ code ({' '.join(sorted(HEADERS))} and sources).",
        )
    return find_sources(roots)
