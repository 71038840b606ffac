"""`nanoplug data index`: C++ projects to training documents, what a function needs first."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nanoplug.cli.projects import find_projects
from nanoplug.errors import ConfigError

if TYPE_CHECKING:
    from nanoplug.corpus.engines import Engine
    from nanoplug.corpus.fitted_text import CountTokens
    from nanoplug.corpus.index_run import IndexReport
    from nanoplug.corpus.indexed_project import ProjectFailure, ProjectJob, ProjectResult

SOME_FAILED = 3
_SHOWN_PROBLEMS = 10
_PATH = click.Path(path_type=Path)


@click.command("index")
@click.option("--project-dir", type=_PATH, help="One project.")
@click.option("--projects-list", type=_PATH, help="File with the path of a project in each line.")
@click.option("--projects-dir", type=_PATH, help="Folder whose sub-folders are projects.")
@click.option("--output", required=True, type=_PATH, help="Folder of shards to make, or FILE.jsonl for JSON lines.")
@click.option("--append", is_flag=True, help="Add to the JSON lines that are there.")
@click.option("--force", is_flag=True, help="Replace what this command made at --output before.")
@click.option("--max-tokens", default=16384, show_default=True, help="Of a document.")
@click.option("--max-dep-depth", default=5, show_default=True, help="Steps from a root to what its document shows.")
@click.option("--min-tokens", default=20, show_default=True, help="Shorter documents are dropped.")
@click.option(
    "--max-repeats", default=2, show_default=True, help="Documents that show a piece besides its own; 0: any number."
)
@click.option(
    "--oversize", default="cut", show_default=True, type=click.Choice(["cut", "skip"]), help="Roots over --max-tokens."
)
@click.option("--tokenizer-dir", type=_PATH, help="Tokenizer that counts; without one 4 characters are a token.")
@click.option(
    "--val-fraction", default=0.05, show_default=True, help="Share of the projects held out, or of one's files."
)
@click.option(
    "--licences",
    default="permissive",
    show_default=True,
    type=click.Choice(["permissive", "strict", "any"]),
    help="permissive: leave out what is known to be under another; strict: also what is unknown.",
)
@click.option("--permit", multiple=True, metavar="SPDX-ID", help="Licence permitted in any case; repeatable.")
@click.option("--secrets/--no-secrets", default=True, show_default=True, help="Leave out what holds keys or tokens.")
@click.option(
    "--near-duplicates",
    default=0.85,
    show_default=True,
    metavar="SIMILARITY",
    help="From which on a root counts as seen before; 0 keeps all.",
)
@click.option("--fim-pairs/--no-fim-pairs", default=True, show_default=True, help="Also write docstring-to-body pairs.")
@click.option("--workers", default=1, show_default=True, help="Projects at the same time.")
@click.option("--parse-workers", type=int, help="Processes that parse one project [the cores, shared by --workers].")
@click.option("--engine", "engine_name", default="local", show_default=True, type=click.Choice(["local", "ray"]))
@click.option("--ray-address", default="local", show_default=True, help="Of a Ray cluster; local starts one here.")
@click.option("--compile-db", type=_PATH, help="compile_commands.json to use, with one project.")
@click.option("--include-dir", "include_dirs", multiple=True, type=_PATH, help="One more for #include; repeatable.")
@click.option("--folder", "folders", multiple=True, help="Index only this one of the project's; repeatable.")
@click.option("--no-compile-db", is_flag=True, help="Use no compile_commands.json.")
@click.option("--libclang-path", type=_PATH, help="libclang to load instead of the installed one.")
@click.option("--cache/--no-cache", default=True, show_default=True, help="Parse again only what changed.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_context
def index(ctx: click.Context, /, output: Path, append: bool, force: bool, as_json: bool, **given: Any) -> None:
    """Write documents of C++ projects: functions and classes, each behind what it calls and names.

    A project that fails is named, and the others go on. Exit status: 0 all done, 1 nothing written, 3 some failed.
    """
    from nanoplug.corpus.index_run import run_index
    from nanoplug.corpus.open_output import opened_output

    jobs = _jobs(given)
    near = given["near_duplicates"] or None
    val_fraction: float = given["val_fraction"]
    with (
        opened_output(output, append=append, force=force, val_fraction=val_fraction) as sink,
        _progress(len(jobs), inline=given["engine_name"] == "local" and min(given["workers"], len(jobs)) == 1) as told,
    ):
        on_project, on_file = told
        report = run_index(
            jobs,
            sink,
            _engine(given, jobs),
            near_duplicates=near,
            val_fraction=val_fraction,
            on_project=on_project,
            on_file=on_file,
        )
    if as_json:
        click.echo(json.dumps({"output": str(output), **report.to_json()}, indent=2, ensure_ascii=False))
    else:
        _say(report, output, estimated=given["tokenizer_dir"] is None)
    if report.failures:
        ctx.exit(SOME_FAILED)


def token_counter(folder: Path) -> CountTokens:
    """Counts tokens by the tokenizer in `folder`."""
    from nanoplug.cli.parts import Workshop, resolve_tokenizer

    tokenizer = resolve_tokenizer(Workshop(select={"tokenizer": "auto"}, options={}), folder)[1]
    return lambda texts: [len(ids) for ids in tokenizer.encode_batch(texts, threads=1)]


def _jobs(given: Mapping[str, Any]) -> list[ProjectJob]:
    from nanoplug.base_folder import base_folder
    from nanoplug.corpus.indexed_project import ProjectJob
    from nanoplug.corpus.licences import LicencePolicy
    from nanoplug.corpus.project_documents import DocumentSettings

    projects = find_projects(given["project_dir"], given["projects_list"], given["projects_dir"])
    if given["no_compile_db"] and given["compile_db"]:
        raise ConfigError("--compile-db and --no-compile-db contradict each other; give one of them.")
    if given["compile_db"] and len(projects) > 1:
        raise ConfigError("--compile-db is for one project.", todo="Leave it out: each project's own is found.")
    if given["folders"] and len(projects) > 1:
        raise ConfigError("--folder is for one project.", todo="Leave it out, or name the project by --project-dir.")
    settings = DocumentSettings(
        **{name: given[name] for name in ("max_tokens", "max_dep_depth", "min_tokens", "max_repeats", "oversize")}
    )
    folder = given["tokenizer_dir"]
    counter = functools.partial(token_counter, folder.resolve()) if folder else None
    if counter:
        counter()  # What is wrong with the tokenizer is said now, not once for each project.
    return [
        ProjectJob(
            root=root,
            project=name,
            documents=settings,
            licences=LicencePolicy(kind=given["licences"], permit=given["permit"]),
            secrets=given["secrets"],
            near_duplicates=bool(given["near_duplicates"]),
            pairs=given["fim_pairs"],
            counter=counter,
            compile_database="none" if given["no_compile_db"] else given["compile_db"] or "auto",
            parse_workers=_parse_workers(given, len(projects)),
            cache=base_folder() / "index" if given["cache"] else None,
            libclang=given["libclang_path"],
            include_dirs=tuple(path.resolve() for path in given["include_dirs"]),
            folders=given["folders"],
        )
        for name, root in projects.items()
    ]


def _parse_workers(given: Mapping[str, Any], projects: int) -> int:
    """Cores for one project: all of them shared by the projects that are worked on at once."""
    from nanoplug.corpus.engines import usable_cores

    workers: int = given["workers"]
    asked: int | None = given["parse_workers"]
    for name, value in (("workers", workers), ("parse-workers", asked)):
        if value is not None and value < 1:
            raise ConfigError(f"--{name} is {value}; it must be at least 1.")
    return asked or max(1, usable_cores() // min(workers, projects))


def _engine(given: Mapping[str, Any], jobs: Sequence[ProjectJob]) -> Engine:
    from nanoplug.corpus.engines import LocalEngine, RayEngine

    if given["engine_name"] == "ray":
        return RayEngine(given["ray_address"], cores=jobs[0].parse_workers)
    return LocalEngine(given["workers"])


Told = tuple[Callable[["ProjectResult | ProjectFailure"], None], Callable[[str, int, int], None] | None]


@contextmanager
def _progress(projects: int, *, inline: bool) -> Iterator[Told]:
    """Bars on stderr, gone in the end; failures stay. inline: the files of a project are told of too."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from nanoplug.cli.say import say
    from nanoplug.corpus.indexed_project import ProjectFailure

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        all_projects = bars.add_task("projects", total=projects)
        files = bars.add_task("files", total=None, visible=False)

        def on_project(outcome: ProjectResult | ProjectFailure) -> None:
            bars.advance(all_projects)
            if isinstance(outcome, ProjectFailure):
                say(console, "failed", f"{outcome.project}: {outcome.cause}{outcome.trace and chr(10) + outcome.trace}")

        def on_file(project: str, done: int, total: int) -> None:
            bars.update(files, description=f"parsing {project}", completed=done, total=total, visible=True)

        yield on_project, on_file if inline else None


def _say(report: IndexReport, output: Path, *, estimated: bool) -> None:
    split = report.split
    failed = f", {len(report.failures)} failed" if report.failures else ""
    lines = [("projects", f"{len(report.projects):,} indexed{failed}"), ("found", _listed(report.counts))]
    if report.split_by == "none":
        lines.append(("documents", f"{split.train_documents:,}, {_size(split.train_bytes)}"))
    else:
        how = "whole projects" if report.split_by == "project" else "files of the one project"
        lines.append(("training", f"{split.train_documents:,} documents, {_size(split.train_bytes)}"))
        lines.append(("validation", f"{split.val_documents:,} documents, {_size(split.val_bytes)} ({how})"))
    unit = "tokens (estimated: 4 characters each)" if estimated else "tokens"
    lines.append(("text", f"{report.tokens:,} {unit}, {report.longest_tokens:,} in the longest document"))
    lines.append(("repeats", f"{report.repeats:.2f} x the {_size(report.source_bytes)} of source shown"))
    lines.append(("left out", _listed(report.left_out)))
    if report.notes:
        lines.append(("changed", _listed(report.notes)))
    lines.append(("licences", _listed(report.licences)))
    lines += [("secret", f"{kind}: {', '.join(places)}") for kind, places in report.secrets.items()]
    if split.pairs:
        lines.append(("pairs", f"{split.pairs:,} of a docstring and a body"))
    for cause, problems in list(report.problems.items())[:_SHOWN_PROBLEMS]:
        lines.append(("problem", f"{problems.count:,} {cause}"))
        lines += [("", example) for example in problems.examples]
    hidden = list(report.problems.values())[_SHOWN_PROBLEMS:]
    if hidden:
        count = sum(problems.count for problems in hidden)
        lines.append(("problem", f"{count:,} of {len(hidden):,} other causes: the report has them all (--json)"))
    lines.append(("written to", str(output)))
    for word, text in lines:
        click.echo(f"{word:<11} {text}".rstrip())


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {cause}" for cause, count in counts.items()) or "nothing"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.2f} MB" if size_bytes >= 100_000 else f"{size_bytes:,} bytes"
