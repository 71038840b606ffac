"""Names that can be written down, whatever bytes the file system holds."""

from __future__ import annotations


def printable(name: str) -> str:
    """`name` with the bytes that are not UTF-8, which Python keeps as surrogates, spelled as `\\xNN`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
