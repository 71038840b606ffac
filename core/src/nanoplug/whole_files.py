"""Files and folders that appear whole or not at all, on disk before their name is.

A writer that is killed leaves at most a hidden temporary beside the target, never a half-written target.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nanoplug.errors import NanoplugError

SUFFIX = ".nanoplug-tmp"
_DISK_FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, replacing what was there, whole or not at all.

    Raises NanoplugError when the disk is full or a quota is reached; the old file is then untouched.
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`; as `write_text`."""
    temporary = _beside(path)
    with full_disk_explained(path):
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path`; on success everything in it is flushed to disk and it becomes `path`.

    On any error it is removed. Raises NanoplugError if `path` exists, or when the disk is full.
    """
    if path.exists():
        raise NanoplugError(f"{path} exists already.", todo="Remove it, or choose another name.")
    temporary = _beside(path)
    with full_disk_explained(path):
        temporary.mkdir()
        try:
            yield temporary
            for folder, _, files in os.walk(temporary, topdown=False):
                for name in files:
                    _sync_file(Path(folder, name))
                _sync_folder(Path(folder))
            os.rename(temporary, path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        _sync_folder(path.parent)


def remove_leftovers(folder: Path) -> None:
    """Remove temporaries that killed writers left directly in `folder`.

    Only for the one process that writes there: a writer at work would lose its file.
    """
    for path in folder.glob(f".*{SUFFIX}"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}{SUFFIX}")


def _sync_file(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def full_disk_explained(path: Path) -> Iterator[None]:
    """Around writing to `path` by other means: a full disk becomes a NanoplugError that says what to free."""
    try:
        yield
    except Exception as error:
        if not _is_disk_full(error):
            raise
        folder = path.parent
        free_mib = shutil.disk_usage(folder).free >> 20
        raise NanoplugError(
            f"{path} could not be written: no room on its disk, or a quota or file size limit is reached"
            f" ({free_mib:,} MiB free in {folder}).",
            todo=f"Free space on the disk that holds {folder}, or write elsewhere; nothing that was there is lost.",
        ) from error


def _is_disk_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _DISK_FULL
    # Libraries written in Rust, safetensors among them, raise types of their own that end so.
    code = re.search(r"\(os error (\d+)\)", str(error))
    return code is not None and int(code.group(1)) in _DISK_FULL
