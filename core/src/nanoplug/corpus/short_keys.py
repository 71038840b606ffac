"""Short names for the long keys of definitions, by which calls refer to them until all files are joined."""

from __future__ import annotations

import hashlib

_BYTES = 12


def short_key(key: str) -> str:
    """96 bits of a digest: the chance that two of a million keys share one is 1e-17."""
    return hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=_BYTES).hexdigest()
