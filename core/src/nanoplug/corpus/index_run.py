"""Many projects to one output: spread over an engine, duplicates removed, everything that was left out counted."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs
from attrs import evolve, frozen

from nanoplug.corpus.engines import Engine
from nanoplug.corpus.index_output import IndexOutput, Split
from nanoplug.corpus.indexed_project import ProjectFailure, ProjectJob, ProjectResult, failed_project, work_on_project
from nanoplug.corpus.near_duplicates import NearDuplicates
from nanoplug.corpus.printable import printable
from nanoplug.data.fim_pairs import Pair
from nanoplug.data.shards import Document
from nanoplug.errors import DataError

COPY = "the same text as another document"
NEAR_COPY = "nearly the same root as another document"
_EXAMPLES = 5


@frozen(kw_only=True)
class ProblemGroup:
    """Problems of one cause. examples: the first few, as `project/file: detail`."""

    count: int
    examples: tuple[str, ...]


@frozen(kw_only=True)
class IndexReport:
    """What a run read, made and left out. It does not depend on the number of workers.

    left_out: pieces and documents by cause. notes: documents that were changed. counts: of all indexes, added up.
    source_bytes: of what may be shown, each piece once. repeats: bytes of the documents over that.
    """

    projects: tuple[str, ...]
    failures: tuple[ProjectFailure, ...]
    split: Split
    split_by: str
    left_out: Mapping[str, int]
    notes: Mapping[str, int]
    counts: Mapping[str, int]
    licences: Mapping[str, int]
    secrets: Mapping[str, tuple[str, ...]]
    problems: Mapping[str, ProblemGroup]
    pairs_skipped: Mapping[str, int]
    source_bytes: int
    document_bytes: int
    longest_tokens: int
    tokens: int

    @property
    def repeats(self) -> float:
        return self.document_bytes / self.source_bytes if self.source_bytes else 0.0

    def to_json(self) -> dict[str, Any]:
        return {**attrs.asdict(self), "repeats": round(self.repeats, 3), "failures": _failures(self.failures)}


def run_index(
    jobs: Sequence[ProjectJob],
    output: IndexOutput,
    engine: Engine,
    *,
    near_duplicates: float | None,
    val_fraction: float,
    on_project: Callable[[ProjectResult | ProjectFailure], None] | None = None,
    on_file: Callable[[str, int, int], None] | None = None,
) -> IndexReport:
    """Work on every project, in order, and write what they give.

    A project that fails is named in the report and the others go on. near_duplicates: the similarity from which on a
    root counts as seen before, or None to keep all. on_project: told of each as it is done; on_file: of the files
    parsed in a project and their number, where the engine works in this process.
    Raises DataError, and nothing is written, if no project could be indexed or no document was made.
    """
    if not jobs:
        raise DataError("there is no project to index.")
    by_file = output.splits and len(jobs) == 1
    jobs = [evolve(job, held_out_share=val_fraction if by_file else None) for job in jobs]
    work = work_on_project if on_file is None else _Told(on_file)
    tally = _Tally(output, near_duplicates)
    for outcome in engine.map(work, jobs, failed_project):
        tally.add(outcome)
        if on_project:
            on_project(outcome)
    survivors = tally.projects_with_documents()
    if output.splits and not by_file and len(survivors) == 1:
        # Only one is left to be split, which must be known before its documents are made.
        output.restart()
        failures, tally, by_file = tally.failures, _Tally(output, near_duplicates), True
        tally.failures.extend(failures)
        again = [evolve(job, held_out_share=val_fraction) for job in jobs if job.project in survivors]
        for outcome in engine.map(work, again, failed_project):
            tally.add(outcome)
    if not tally.results:
        raise DataError(
            f"none of {len(jobs)} project(s) could be indexed.",
            details=[f"{failure.project}: {failure.cause}" for failure in tally.failures],
        )
    split_by = "none" if not output.splits else "file" if by_file else "project"
    return tally.finish(split_by)


@frozen
class _Told:
    """Works on a project and tells of its files; for engines that stay in this process."""

    on_file: Callable[[str, int, int], None]

    def __call__(self, job: ProjectJob) -> ProjectResult | ProjectFailure:
        return work_on_project(job, lambda done, total: self.on_file(job.project, done, total))


class _Tally:
    """Takes what projects give, in their order; the first of several copies is kept."""

    def __init__(self, output: IndexOutput, near_duplicates: float | None) -> None:
        self._output = output
        self._texts = output.known()
        self._roots = NearDuplicates(near_duplicates) if near_duplicates is not None else None
        self._left_out: Counter[str] = Counter()
        self._bytes = self._tokens = self._longest = 0
        self._documents: Counter[str] = Counter()
        self.results: list[ProjectResult] = []
        self.failures: list[ProjectFailure] = []

    def projects_with_documents(self) -> set[str]:
        return set(self._documents)

    def add(self, outcome: ProjectResult | ProjectFailure) -> None:
        if isinstance(outcome, ProjectFailure):
            self.failures.append(outcome)
            return
        made = outcome.documents
        for document, signature in zip(made.documents, outcome.signatures, strict=True):
            digest = hashlib.sha256(document.text.encode()).digest()
            if digest in self._texts:
                self._left_out[COPY] += 1
                continue
            self._texts.add(digest)
            if self._roots is not None and signature is not None and not self._roots.is_new(signature):
                self._left_out[NEAR_COPY] += 1
                continue
            row = Document(document.path, document.text, outcome.project, document.usr)
            self._output.add(row, held_out=document.held_out)
            self._documents[outcome.project] += 1
            self._bytes += len(document.text.encode())
            self._tokens += document.tokens
            self._longest = max(self._longest, document.tokens)
        self._left_out.update(made.dropped)
        # The texts are written; only what the report needs is kept.
        self.results.append(evolve(outcome, documents=evolve(made, documents=()), signatures=()))

    def finish(self, split_by: str) -> IndexReport:
        results = self.results
        pairs: dict[str, Sequence[Pair]] = {result.project: result.pairs.pairs for result in results}
        report = IndexReport(
            projects=tuple(result.project for result in results),
            failures=tuple(self.failures),
            split=Split(train_documents=0, train_bytes=0),
            split_by=split_by,
            left_out=_largest_first(self._left_out),
            notes=_added(result.documents.notes for result in results),
            counts=_in_order(result.counts for result in results),
            licences=_added(result.licences for result in results),
            secrets=_places(results),
            problems=_problems(results),
            pairs_skipped=_added(result.pairs.skipped for result in results),
            source_bytes=sum(result.documents.source_bytes for result in results),
            document_bytes=self._bytes,
            longest_tokens=self._longest,
            tokens=self._tokens,
        )
        content = {name: value for name, value in report.to_json().items() if name != "split"}
        return evolve(report, split=self._output.finish(pairs, content))


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    return _largest_first(_in_order(counts))


def _in_order(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Sums in order of first appearance; what is 0 is left out."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return {cause: count for cause, count in total.items() if count}


def _largest_first(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _places(results: Sequence[ProjectResult]) -> dict[str, tuple[str, ...]]:
    places: dict[str, list[str]] = {}
    for result in results:
        for kind, found in result.secrets.items():
            places.setdefault(kind, []).extend(f"{result.project}/{place}" for place in found)
    return {kind: tuple(found) for kind, found in sorted(places.items())}


def _problems(results: Sequence[ProjectResult]) -> dict[str, ProblemGroup]:
    lines: dict[str, list[str]] = {}
    for result in results:
        for problem in result.problems:
            place = f"{result.project}/{problem.file}" if problem.file else result.project
            lines.setdefault(printable(problem.cause), []).append(
                printable(f"{place}: {problem.detail}" if problem.detail else place)
            )
    ranked = sorted(lines.items(), key=lambda item: (-len(item[1]), item[0]))
    return {cause: ProblemGroup(count=len(of), examples=tuple(of[:_EXAMPLES])) for cause, of in ranked}


def _failures(failures: Sequence[ProjectFailure]) -> list[dict[str, str]]:
    return [{"project": each.project, "root": printable(str(each.root)), "cause": each.cause} for each in failures]
