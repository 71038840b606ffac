"""A folder that a command makes as a whole, and may make again, but never over somebody else's."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nanoplug import whole_files
from nanoplug.errors import DataError


@contextmanager
def made_folder(out: Path, *, mark: str, rebuild: bool = False) -> Iterator[Path]:
    """Yield an empty folder that becomes `out` on success; on an error nothing has changed.

    mark: the file in it by which it is known as made here. rebuild: replace a folder with that mark.
    Raises DataError if `out` is in use otherwise.
    """
    out = out.absolute()
    used = out.exists() and not (out.is_dir() and not any(out.iterdir()))
    if used and not (out / mark).is_file():
        raise DataError(
            f"{out} is there already and holds no {mark}, so it is something else.",
            todo="Name another folder; this one is never overwritten.",
        )
    if used and not rebuild:
        raise DataError(f"{out} is made already.", todo="Use it, name another folder, or make it again by --force.")
    out.parent.mkdir(parents=True, exist_ok=True)
    if not out.exists():
        with whole_files.new_folder(out) as folder:
            yield folder
        return
    made, old = (out.with_name(f".{out.name}.{secrets.token_hex(4)}.{end}") for end in ("new", "old"))
    with whole_files.new_folder(made) as folder:
        yield folder
    os.rename(out, old)
    os.rename(made, out)
    shutil.rmtree(old)
