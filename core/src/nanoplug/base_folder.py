"""The one folder outside a run where nanoplug keeps things: corpora, tokenizers, caches, quarantine."""

from __future__ import annotations

import os
from pathlib import Path


def base_folder() -> Path:
    """`NANOPLUG_BASE_DIR` if that is set, else `~/.cache/nanoplug`. It is not created."""
    given = os.environ.get("NANOPLUG_BASE_DIR")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "nanoplug"
