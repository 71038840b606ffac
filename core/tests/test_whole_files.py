"""Files appear whole or not at all; a full disk is one clear sentence; nothing temporary stays behind."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nanoplug.errors import NanoplugError
from nanoplug.whole_files import new_folder, remove_leftovers, write_bytes, write_text


@contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """Files of this process may not grow beyond `size_bytes`; the kernel answers EFBIG."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_and_bytes_replace_what_was_there(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")
    write_text(tmp_path / "a", "größer")
    write_bytes(tmp_path / "b", b"\x00\xff")
    assert (tmp_path / "a").read_text("utf-8") == "größer"
    assert (tmp_path / "b").read_bytes() == b"\x00\xff"
    assert names(tmp_path) == ["a", "b"]


def test_new_files_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_text(tmp_path / "a", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_full_disk_keeps_the_old_file_and_says_what_to_do(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")
    with file_size_limit(1 << 16), pytest.raises(NanoplugError, match="no room") as caught:
        write_bytes(tmp_path / "a", b"x" * (1 << 20))
    assert "Free space" in caught.value.todo
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_other_errors_pass_unchanged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "missing" / "a", "x")


def test_folder_appears_only_when_whole(tmp_path: Path) -> None:
    target = tmp_path / "step"
    with new_folder(target) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "a").write_text("x")
        assert not target.exists()
        assert folder.parent == tmp_path
    assert (target / "sub" / "a").read_text() == "x"
    assert names(tmp_path) == ["step"]


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()])
def test_folder_is_removed_on_error(tmp_path: Path, error: BaseException) -> None:
    def write() -> None:
        with new_folder(tmp_path / "step") as folder:
            (folder / "a").write_text("x")
            raise error

    with pytest.raises(type(error)):
        write()
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EDQUOT, "quota"),
        OSError(errno.ENOSPC, "full"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_full_disk_inside_a_folder(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(NanoplugError, match="no room"):
        with new_folder(tmp_path / "step"):
            raise error
    assert names(tmp_path) == []


def test_folder_that_exists_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "step").mkdir()
    (tmp_path / "step" / "a").write_text("x")
    with pytest.raises(NanoplugError, match="exists already"):
        with new_folder(tmp_path / "step"):
            pass
    assert (tmp_path / "step" / "a").read_text() == "x"


def test_killed_writer_leaves_only_what_remove_leftovers_takes(tmp_path: Path) -> None:
    program = (
        "import os, signal, pathlib\n"
        "from nanoplug.whole_files import new_folder\n"
        f"with new_folder(pathlib.Path({str(tmp_path)!r}) / 'step') as folder:\n"
        "    (folder / 'a').write_text('x')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "step").exists()
    assert len(names(tmp_path)) == 1
    (tmp_path / ".keep").write_text("mine")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [".keep"]
