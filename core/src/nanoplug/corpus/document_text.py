"""How pieces of source from several places become one text that reads as C++."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen


@frozen
class Part:
    """A piece of source, and the namespaces that it stands in, outermost first (`""` is an anonymous one)."""

    scope: tuple[str, ...]
    text: str


def join_parts(parts: Sequence[Part]) -> tuple[str, tuple[int, int]]:
    """The text, and where the last part lies in it, in characters.

    Parts are joined by blank lines; namespaces are opened again around them, and parts that follow each other in the
    same namespace share one block.
    """
    chunks: list[str] = []
    around: tuple[str, ...] = ()
    for part in parts:
        shared = _shared(around, part.scope)
        _close(chunks, around[shared:])
        if part.scope[shared:]:
            chunks.append("\n".join(f"namespace {name} {{" if name else "namespace {" for name in part.scope[shared:]))
        chunks.append(part.text)
        around = part.scope
    before = sum(len(chunk) + 2 for chunk in chunks[:-1])
    last = (before, before + len(chunks[-1]))
    _close(chunks, around)
    return "\n\n".join(chunks) + "\n", last


def _close(chunks: list[str], names: Sequence[str]) -> None:
    if names:
        chunks.append("\n".join(f"}}  // namespace {name}".rstrip() for name in reversed(names)))


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    while count < min(len(one), len(other)) and one[count] == other[count]:
        count += 1
    return count
