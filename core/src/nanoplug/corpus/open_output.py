"""Opens what a run writes to, by its name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nanoplug.corpus.build import REPORT_NAME
from nanoplug.corpus.index_output import IndexOutput
from nanoplug.corpus.json_lines_output import opened_lines
from nanoplug.corpus.shard_output import ShardFolder
from nanoplug.data.made_folder import made_folder
from nanoplug.errors import ConfigError, DataError

LINES_SUFFIX = ".jsonl"


@contextmanager
def opened_output(path: Path, *, append: bool, force: bool, val_fraction: float) -> Iterator[IndexOutput]:
    """JSON lines if `path` ends in .jsonl, else a folder of shards. It appears whole or not at all.

    append: keep the lines that are there. force: replace what is there. Raises DataError if something is there and
    neither is asked for, ConfigError if both are, or shards are to be appended to.
    """
    if append and force:
        raise ConfigError("--append keeps what is there and --force replaces it; give one of them.")
    if path.suffix == LINES_SUFFIX:
        if path.is_dir():
            raise DataError(f"{path} is a folder; JSON lines are written to a file.", todo="Name another file.")
        if path.exists() and not (append or force):
            raise DataError(f"{path} is there already.", todo="--append adds to it, --force replaces it.")
        with opened_lines(path, append=append) as lines:
            yield lines
        return
    if append:
        raise ConfigError(f"--append is for JSON lines; {path} is a folder of shards.", todo="Name a FILE.jsonl.")
    with made_folder(path, mark=REPORT_NAME, rebuild=force) as folder:
        yield ShardFolder(folder, val_fraction=val_fraction)
