"""From the index of a project to training documents: what a function needs first, the function last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import field, frozen

from nanoplug.corpus.call_graph import levels
from nanoplug.corpus.dependencies import choose_dependencies
from nanoplug.corpus.document_text import Part
from nanoplug.corpus.fitted_text import CountTokens, FittedText, fit_text
from nanoplug.corpus.preamble import PreambleText, fitting_preamble, words_of
from nanoplug.corpus.printable import printable
from nanoplug.corpus.project_index import TYPE_KINDS, ProjectIndex
from nanoplug.corpus.source_bytes import SourceBytes
from nanoplug.corpus.units import Unit, units_of
from nanoplug.errors import ConfigError

REPEATED_BYTES = 4000
"""Small pieces cost little, and tell much for their size."""
SHORT = "shorter than min_tokens"
CUT = "root cut at max_tokens"
OVERSIZE = "root longer than max_tokens"
NOT_TEXT = "not UTF-8"


@frozen(kw_only=True)
class DocumentSettings:
    """max_tokens: of a whole document. max_dep_depth: how many steps from the root a dependency is at most.

    min_tokens: shorter documents are dropped. max_repeats: in how many documents a piece of source is shown at most
    besides its own, or in as many more as make up `REPEATED_BYTES`; 0 is without limit. Without one, what is called
    from everywhere would make up most of the text. oversize: whether a root that alone is over the budget is `cut` at
    the end of a line, or its document is left out (`skip`). held_out: files for validation; they are shown in no other
    document.
    """

    max_tokens: int = 16384
    max_dep_depth: int = 5
    min_tokens: int = 20
    max_repeats: int = 2
    oversize: str = "cut"
    held_out: frozenset[str] = frozenset()

    def __attrs_post_init__(self) -> None:
        for name, least in (("max_tokens", 1), ("max_dep_depth", 0), ("min_tokens", 0), ("max_repeats", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least {least}.")
        if self.oversize not in ("cut", "skip"):
            raise ConfigError(f"oversize is {self.oversize!r}; it must be 'cut' or 'skip'.")


@frozen
class Screened:
    """What must not be shown, and why. files: cause by path. ranges: (start, end, cause) in bytes by path."""

    files: Mapping[str, str] = field(factory=dict)
    ranges: Mapping[str, Sequence[tuple[int, int, str]]] = field(factory=dict)

    def cause(self, file: str, start: int, end: int) -> str | None:
        if file in self.files:
            return self.files[file]
        overlapping = (cause for first, last, cause in self.ranges.get(file, ()) if first < end and start < last)
        return next(overlapping, None)


@frozen(kw_only=True)
class ProjectDocument:
    """path: the root's file below the project root. usr: of the root. root: where it lies in the text, in characters.

    units: how many pieces of source it shows, the root included.
    """

    text: str
    path: str
    usr: str
    root: tuple[int, int]
    tokens: int
    units: int
    held_out: bool = False


@frozen(kw_only=True)
class DocumentsOf:
    """Documents in order of their roots' files and places. dropped: how many documents were not made, by cause.

    notes: how many documents were changed, by cause. source_bytes: of all units that could be shown, each once.
    """

    documents: tuple[ProjectDocument, ...]
    dropped: Mapping[str, int]
    notes: Mapping[str, int]
    source_bytes: int


def project_documents(
    index: ProjectIndex,
    root: Path,
    settings: DocumentSettings,
    count_tokens: CountTokens | None,
    screened: Screened | None = None,
) -> DocumentsOf:
    """One document for each free function, out-of-line member and class with members in it, and for each other type
    that no document shows.

    A document is the preamble of the root's file, what the root needs (functions, types, and the class of a member)
    sorted by level ascending, and the root last. count_tokens: tokens of each text; without one, a quarter of the
    characters. Over `max_tokens` the dependency of the highest level is dropped until it fits, then the preamble.
    Raises DataError if a file is no longer what was indexed.
    """
    return _Builder(index, root, settings, count_tokens or estimate_tokens, screened or Screened()).build()


def estimate_tokens(texts: Sequence[str]) -> list[int]:
    """A quarter of the characters, at least 1."""
    return [max(1, len(text) // 4) for text in texts]


class _Builder:
    def __init__(
        self, index: ProjectIndex, root: Path, settings: DocumentSettings, count: CountTokens, screened: Screened
    ) -> None:
        self._index, self._settings, self._count, self._screened = index, settings, count, screened
        self._bytes = SourceBytes(index, root)
        self._dropped: Counter[str] = Counter()
        self._notes: Counter[str] = Counter()
        self._units = units_of(index)
        self._parts = dict(self._shown_parts())
        needs = {key: tuple(other for other in self._units[key].needs if other in self._parts) for key in self._parts}
        self._needs = needs
        self._level = levels(needs)
        self._sizes = dict(zip(self._parts, count([part.text for part in self._parts.values()]), strict=True))
        self._preambles: dict[str, list[PreambleText]] = {}
        self._words: dict[str, set[str]] = {}

    def build(self) -> DocumentsOf:
        roots = [key for key in self._parts if self._units[key].has_function]
        documents, shown = self._documents(roots)
        hidden = [key for key in self._parts if key not in shown and not self._units[key].has_function]
        documents |= self._documents(hidden)[0]
        return DocumentsOf(
            documents=tuple(documents[key] for key in self._parts if key in documents),
            dropped=dict(sorted(self._dropped.items())),
            notes=dict(sorted(self._notes.items())),
            source_bytes=sum(len(part.text.encode()) for part in self._parts.values()),
        )

    def _shown_parts(self) -> Iterator[tuple[str, Part]]:
        """The text of every unit that may be shown."""
        for key, unit in self._units.items():
            cause = self._screened.cause(unit.file, unit.start, unit.end)
            text = self._bytes.cut(unit.file, unit.start, unit.end) if cause is None else None
            if text is None:
                self._dropped[cause or NOT_TEXT] += 1
            else:
                yield key, Part(unit.scope, text)

    def _documents(self, roots: Sequence[str]) -> tuple[dict[str, ProjectDocument], set[str]]:
        """Documents by root, and every unit that they show."""
        chosen = choose_dependencies(
            self._needs,
            roots,
            max_depth=self._settings.max_dep_depth,
            limits=self._limits(),
            may_show=lambda root, other: self._is_held_out(root) or not self._is_held_out(other),
        )
        made: dict[str, ProjectDocument] = {}
        shown: set[str] = set()
        for root, dependencies in chosen.items():
            order = sorted(dependencies, key=self._order)
            fitted = self._fit(root, order)
            if fitted is None:
                continue
            unit = self._units[root]
            made[root] = ProjectDocument(
                text=fitted.text,
                path=printable(unit.file),
                usr=printable(unit.key),
                root=fitted.root,
                tokens=fitted.tokens,
                units=fitted.kept + 1,
                held_out=self._is_held_out(root),
            )
            shown |= {root, *order[: fitted.kept]}
        return made, shown

    def _limits(self) -> dict[str, int] | None:
        least = self._settings.max_repeats
        if not least:
            return None
        return {key: max(least, REPEATED_BYTES // max(1, len(part.text))) for key, part in self._parts.items()}

    def _fit(self, root: str, order: Sequence[str]) -> FittedText | None:
        fitted = fit_text(
            [self._parts[key] for key in order],
            [self._sizes[key] for key in order],
            self._parts[root],
            preamble=lambda kept: self._preamble(root, order[:kept]),
            budget=self._settings.max_tokens,
            count=self._count,
            cut=self._settings.oversize == "cut",
        )
        if fitted is None:
            self._dropped[OVERSIZE] += 1
            return None
        if fitted.tokens < self._settings.min_tokens:
            self._dropped[SHORT] += 1
            return None
        if fitted.was_cut:
            self._notes[CUT] += 1
        if fitted.kept < len(order):
            self._notes["dependencies dropped to fit max_tokens"] += 1
        return fitted

    def _preamble(self, root: str, dependencies: Sequence[str]) -> list[Part]:
        unit = self._units[root]
        shown = [*dependencies, root]
        types = {each.name for key in shown for each in self._units[key].definitions if each.kind in TYPE_KINDS}
        return fitting_preamble(
            self._preamble_of(unit.file),
            words=set().union(*map(self._words_of, shown)),
            shown_types=types,
            before=unit.start,
        )

    def _words_of(self, key: str) -> set[str]:
        if key not in self._words:
            self._words[key] = words_of(self._parts[key].text)
        return self._words[key]

    def _preamble_of(self, file: str) -> list[PreambleText]:
        if file not in self._preambles:
            held = self._preambles[file] = []
            for part in self._index.files[file].preamble:
                if self._screened.cause(file, part.start, part.end) is None:
                    text = self._bytes.cut(file, part.start, part.end)
                    if text is not None:
                        held.append(PreambleText(part.kind, part.start, Part(part.scope, text.strip())))
        return self._preambles[file]

    def _order(self, key: str) -> tuple[int, str, int]:
        unit: Unit = self._units[key]
        return self._level[key], unit.file, unit.start

    def _is_held_out(self, key: str) -> bool:
        return self._units[key].file in self._settings.held_out
