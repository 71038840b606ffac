"""Functions with the comment that documents them, taken apart for fill-in-the-middle training."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from nanoplug.corpus.project_documents import Screened
from nanoplug.corpus.project_index import FUNCTION_KINDS, Definition, ProjectIndex
from nanoplug.corpus.source_bytes import SourceBytes
from nanoplug.data.fim_pairs import Pair

_LINE_MARK = re.compile(r"^\s*//[/!]*<? ?")
_STAR = re.compile(r"^\s*\*(?!/) ?")


@frozen
class FimPairs:
    """Pairs in order of the functions' places. skipped: functions that gave none, by cause."""

    pairs: tuple[Pair, ...]
    skipped: Mapping[str, int]


def fim_pairs(
    index: ProjectIndex, root: Path, screened: Screened | None = None, held_out: frozenset[str] = frozenset()
) -> FimPairs:
    """A pair for each function that has both a comment before it and a body with something in it.

    held_out: files for validation, which give none. Raises DataError if a file is no longer what was indexed.
    """
    source = SourceBytes(index, root)
    screened = screened or Screened()
    pairs: list[Pair] = []
    skipped: Counter[str] = Counter()
    for definition in index.definitions:
        if definition.kind not in FUNCTION_KINDS or definition.file in held_out:
            continue
        cause = screened.cause(definition.file, definition.comment_start, definition.end)
        made = cause or _pair(definition, source)
        if isinstance(made, Pair):
            pairs.append(made)
        else:
            skipped[made] += 1
    return FimPairs(tuple(pairs), dict(sorted(skipped.items())))


def clean_comment(comment: str) -> str:
    """The words of a `//` or block comment, without its marks and common indentation."""
    lines: list[str] = []
    in_block = False
    for line in comment.splitlines():
        if not in_block and line.lstrip().startswith("/*"):
            in_block, line = True, re.sub(r"^\s*/\*[*!]*<? ?", "", line)
        elif in_block:
            line = _STAR.sub("", line)
        else:
            line = _LINE_MARK.sub("", line)
        if in_block and line.rstrip().endswith("*/"):
            in_block, line = False, re.sub(r"\s*\**\*/\s*$", "", line)
        lines.append(line.rstrip())
    return textwrap.dedent("\n".join(lines)).strip()


def _pair(definition: Definition, source: SourceBytes) -> Pair | str:
    """The pair, or why there is none."""
    if definition.comment_start == definition.start:
        return "no comment"
    opening, behind = definition.body
    if opening >= behind:
        return "no body"
    cut = [
        source.cut(definition.file, start, end)
        for start, end in (
            (definition.comment_start, definition.start),
            (definition.start, opening),
            (opening + 1, behind - 1),
        )
    ]
    comment, signature, body = (text if text is not None else "" for text in cut)
    if None in cut:
        return "not UTF-8"
    docstring = clean_comment(comment)
    if not docstring:
        return "no comment"
    if "*/" in docstring:
        return "comment holds */"
    if not body.strip():
        return "no body"
    line_start = source.of(definition.file).rfind(b"\n", 0, definition.start) + 1
    indent = source.of(definition.file)[line_start : definition.start]
    if not indent.strip():
        signature, body = (_without_indent(text, indent.decode()) for text in (signature, body))
    return Pair(docstring, signature.rstrip(), _trimmed(body))


def _without_indent(text: str, indent: str) -> str:
    """`text` with `indent` taken from every line behind the first that has it."""
    return text.replace("\n" + indent, "\n")


def _trimmed(body: str) -> str:
    """Without empty lines around it; what stands behind the brace in its line loses the blank before it."""
    first, newline, rest = body.partition("\n")
    kept = first.strip() + newline + rest if first.strip() else rest
    return kept.rstrip().lstrip("\r\n")
