"""Keys and tokens in source code, by the patterns of detect-secrets.

Only its patterns of known formats are used: guesses by entropy or by words such as `password` mostly hit tables,
hashes and parameter names in C++. Artifactory's pattern is not, since identifiers such as `APFloatBase` match it, nor
those that look for the variable names of one vendor, which take most of the time.
"""

from __future__ import annotations

import re
from functools import cache

from attrs import frozen
from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.plugins.base import RegexBasedDetector

_NOT_USED = frozenset(
    {
        "Artifactory Credentials",
        "Cloudant Credentials",
        "IBM Cloud IAM Key",
        "IBM COS HMAC Credentials",
        "Public IP (ipv4)",
        "SoftLayer Credentials",
    }
)


@frozen
class Secret:
    """kind: what it looks like. start, end: where, in bytes."""

    kind: str
    start: int
    end: int


def find_secrets(data: bytes) -> list[Secret]:
    """Everything in a file that looks like a key or token, in order of place."""
    # One character a byte, so that places are offsets; the patterns are ASCII.
    text = data.decode("latin-1")
    found = {
        Secret(kind, match.start(), match.end()) for kind, pattern in _patterns() for match in pattern.finditer(text)
    }
    return sorted(found, key=lambda secret: (secret.start, secret.end, secret.kind))


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    return [
        (kind, pattern)
        for kind, detector in sorted(get_mapping_from_secret_type_to_class().items())
        if issubclass(detector, RegexBasedDetector) and kind not in _NOT_USED
        for pattern in detector.denylist
    ]
