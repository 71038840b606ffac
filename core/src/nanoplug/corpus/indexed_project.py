"""One project from its source to documents: the work that an engine spreads over processes and machines."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from attrs import evolve, frozen

from nanoplug.corpus.fim_pairs import FimPairs, fim_pairs
from nanoplug.corpus.fitted_text import CountTokens
from nanoplug.corpus.licences import LicencePolicy
from nanoplug.corpus.near_duplicates import signature_of
from nanoplug.corpus.printable import printable
from nanoplug.corpus.project_documents import DocumentSettings, DocumentsOf, ProjectDocument, project_documents
from nanoplug.corpus.project_index import Problem, ProjectIndex
from nanoplug.corpus.screening import Screening, screen_project
from nanoplug.errors import DataError, NanoplugError

_WORTH_HOLDING_OUT_BYTES = 80


@frozen(kw_only=True)
class ProjectJob:
    """What to do with one project; it can be pickled.

    counter: makes the counter of tokens in the process that needs it; None stands for the estimate.
    held_out_share: share of the project's files that is for validation, or None if that is not decided by file.
    near_duplicates, pairs: whether signatures and docstring pairs are wanted. include_dirs, folders: as `index_project`
    takes them.
    """

    root: Path
    project: str
    documents: DocumentSettings
    licences: LicencePolicy
    secrets: bool
    near_duplicates: bool
    pairs: bool
    counter: Callable[[], CountTokens] | None = None
    held_out_share: float | None = None
    compile_database: Path | Literal["auto", "none"] = "auto"
    parse_workers: int = 1
    cache: Path | None = None
    libclang: Path | None = None
    include_dirs: Sequence[Path] = ()
    folders: Sequence[str] = ()


@frozen(kw_only=True)
class ProjectResult:
    """signatures: of the documents' roots, in their order; None where there is none to compare.

    counts: of the index, such as files and definitions by kind.
    """

    project: str
    documents: DocumentsOf
    signatures: tuple[bytes | None, ...]
    pairs: FimPairs
    problems: tuple[Problem, ...]
    counts: Mapping[str, int]
    licences: Mapping[str, int]
    secrets: Mapping[str, tuple[str, ...]]


@frozen(kw_only=True)
class ProjectFailure:
    """A project that gave nothing, and why. trace: of an error that nobody foresaw, else empty."""

    project: str
    root: Path
    cause: str
    trace: str = ""


def work_on_project(
    job: ProjectJob, on_progress: Callable[[int, int], None] | None = None
) -> ProjectResult | ProjectFailure:
    """Index the project and make its documents; whatever goes wrong costs this project alone.

    on_progress: called with the files parsed so far and their number.
    """
    try:
        return _worked_on(job, on_progress)
    except NanoplugError as error:
        return failed_project(job, str(error))
    except ModuleNotFoundError:
        raise  # It would fail each project, and the caller knows what to install.
    except Exception as error:
        failure = failed_project(job, f"{type(error).__name__}: {error}")
        return evolve(failure, trace=printable(traceback.format_exc()))


def failed_project(job: ProjectJob, cause: str) -> ProjectFailure:
    return ProjectFailure(project=job.project, root=job.root, cause=printable(cause))


def _worked_on(job: ProjectJob, on_progress: Callable[[int, int], None] | None) -> ProjectResult:
    from nanoplug.corpus.index_project import index_project

    index = index_project(
        job.root,
        project=job.project,
        compile_database=job.compile_database,
        workers=job.parse_workers,
        cache=job.cache,
        libclang=job.libclang,
        on_progress=on_progress,
        include_dirs=job.include_dirs,
        folders=job.folders,
    )
    if not index.files:
        raise DataError(
            f"{job.root}: there is no C or C++ file that could be read.",
            details=[f"{each.cause}: {each.file} {each.detail}".rstrip() for each in index.problems[:5]],
        )
    screening = screen_project(index, job.root, job.licences, secrets=job.secrets)
    settings = job.documents
    if job.held_out_share is not None:
        settings = evolve(settings, held_out=_held_out(index, screening, job.held_out_share))
    counter = job.counter() if job.counter else None
    made = project_documents(index, job.root, settings, counter, screening.screened)
    return ProjectResult(
        project=job.project,
        documents=made,
        signatures=tuple(_signatures(made.documents) if job.near_duplicates else [None] * len(made.documents)),
        pairs=fim_pairs(index, job.root, screening.screened, settings.held_out) if job.pairs else FimPairs((), {}),
        problems=index.problems,
        counts=index.counts,
        licences=screening.licences,
        secrets=screening.secrets,
    )


def _held_out(index: ProjectIndex, screening: Screening, share: float) -> frozenset[str]:
    """Files for validation, by a hash of their names alone: at least one, and at least one is left."""
    files = {
        each.file
        for each in index.definitions
        if each.end - each.start >= _WORTH_HOLDING_OUT_BYTES
        and screening.screened.cause(each.file, each.start, each.end) is None
    }
    if len(files) < 2:
        raise DataError(
            f"{index.project} has {len(files)} file(s) with a definition of {_WORTH_HOLDING_OUT_BYTES} bytes or more;"
            " shards need one for training and one for validation.",
            todo="Name more projects, or write JSON lines: --output FILE.jsonl.",
        )
    hashes = {hashlib.sha256(file.encode()).hexdigest(): file for file in sorted(files)}
    limit = f"{int(share * 2**64):016x}"
    count = min(max(sum(digest[:16] < limit for digest in hashes), 1), len(hashes) - 1)
    return frozenset(hashes[digest] for digest in sorted(hashes)[:count])


def _signatures(documents: Sequence[ProjectDocument]) -> list[bytes | None]:
    return [signature_of(document.text[slice(*document.root)]) for document in documents]
