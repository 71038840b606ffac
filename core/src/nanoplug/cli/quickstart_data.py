"""The shards that quickstart trains on: functions behind what they call, or whole files; made once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from nanoplug.cli.say import say

if TYPE_CHECKING:
    from nanoplug.corpus.index_run import IndexReport

VAL_FRACTION = 0.1
# Rows are short; a longer document would be cut into pieces that begin in the middle of a function.
MAX_TOKENS = 512


def quickstart_shards(corpus: Path | None, out: Path, console: Console, *, whole_files: bool, fresh: bool) -> Path:
    """The folder of shards, made if it is not there; a run that is there keeps the corpus that it was trained on.

    corpus: a tree of C++, or None for the headers inside torch.
    """
    from nanoplug.corpus.build import REPORT_NAME, build_shards, digest_of
    from nanoplug.corpus.source_files import find_sources
    from nanoplug.corpus.torch_headers import FOLDERS, LIBRARY, torch_headers
    from nanoplug.errors import RunConflict
    from nanoplug.training.run_folder import RunFolder
    from nanoplug.whole_files import write_text

    folders = FOLDERS if whole_files else (LIBRARY,)
    scan = torch_headers(folders) if corpus is None else find_sources([corpus])
    source = f"{', '.join(folders)} of the installed torch" if corpus is None else str(corpus)
    folder, made_from = out / "data", out / "data.made_from"
    identity = f"{digest_of(scan, VAL_FRACTION)} {'files' if whole_files else 'index'}"
    there = (folder / REPORT_NAME).is_file()
    reused = there and made_from.is_file() and made_from.read_text() == identity
    if there and not reused and not fresh and RunFolder(out / "run").config.is_file():
        raise RunConflict(
            f"the corpus is not what the run in {out} was trained on.",
            todo="--fresh trains again on what is there now; another --out keeps both.",
        )
    skipped = ", ".join(f"{count} {cause}" for cause, count in scan.skipped.items())
    megabytes = sum(file.bytes for file in scan.files) / 1e6
    say(
        console,
        "corpus",
        f"{len(scan.files):,} files, {megabytes:.1f} MB: {source}; left out: {skipped or 'none'}"
        + (" (used again)" if reused else ""),
    )
    if not reused:
        made_from.unlink(missing_ok=True)
        if whole_files:
            build_shards(scan, folder, val_fraction=VAL_FRACTION, rebuild=there)
        else:
            say(console, "documents", _summary(_index(corpus, folder, console, rebuild=there)))
        write_text(made_from, identity)
    return folder


def _index(corpus: Path | None, folder: Path, console: Console, *, rebuild: bool) -> IndexReport:
    from nanoplug.base_folder import base_folder
    from nanoplug.corpus.engines import LocalEngine, usable_cores
    from nanoplug.corpus.index_run import run_index
    from nanoplug.corpus.indexed_project import ProjectJob
    from nanoplug.corpus.licences import LicencePolicy
    from nanoplug.corpus.open_output import opened_output
    from nanoplug.corpus.project_documents import DocumentSettings
    from nanoplug.corpus.torch_headers import LIBRARY, torch_include

    root = torch_include() if corpus is None else corpus
    job = ProjectJob(
        root=root,
        project="torch" if corpus is None else corpus.resolve().name,
        documents=DocumentSettings(max_tokens=MAX_TOKENS),
        licences=LicencePolicy(kind="any"),  # whoever names a tree has chosen it
        secrets=True,
        near_duplicates=True,
        pairs=True,
        parse_workers=usable_cores(),
        cache=base_folder() / "index",
        include_dirs=[root] if corpus is None else [],
        folders=[LIBRARY] if corpus is None else [],
    )
    with opened_output(folder, append=False, force=rebuild, val_fraction=VAL_FRACTION) as sink, _bar(console) as told:
        return run_index([job], sink, LocalEngine(1), near_duplicates=0.85, val_fraction=VAL_FRACTION, on_file=told)


@contextmanager
def _bar(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        files = bars.add_task("parsing", total=None)

        def told(project: str, done: int, total: int) -> None:
            bars.update(files, description=f"parsing {project}", completed=done, total=total)

        yield told


def _summary(report: IndexReport) -> str:
    split = report.split
    found = ", ".join(f"{count:,} {what}" for what, count in report.counts.items() if what.startswith("files parsed"))
    return (
        f"{split.train_documents + split.val_documents:,} functions and classes behind what they use,"
        f" {(split.train_bytes + split.val_bytes) / 1e6:.1f} MB; {found}"
    )
