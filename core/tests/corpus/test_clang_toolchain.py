from pathlib import Path

import pytest

from nanoplug.corpus.clang_toolchain import (
    Toolchain,
    ToolMissingError,
    find_toolchain,
    system_arguments,
    system_includes,
)
from nanoplug.errors import DataError


def test_the_installed_library_comes_with_headers_of_its_own_version() -> None:
    toolchain = find_toolchain()
    assert (toolchain.resources / "include" / "stddef.h").is_file()
    assert f"version {toolchain.resources.name}." in toolchain.version


def test_a_library_is_named_by_its_file_or_folder() -> None:
    library = find_toolchain().library
    assert find_toolchain(library).library == library
    assert find_toolchain(library.parent).library == library


def test_what_is_no_library_is_said(tmp_path: Path) -> None:
    with pytest.raises(ToolMissingError, match="neither libclang nor a folder"):
        find_toolchain(tmp_path / "libclang.so")
    (tmp_path / "libclang.so").write_text("no")
    with pytest.raises(DataError, match="cannot be used as libclang"):
        find_toolchain(tmp_path / "libclang.so")


def test_a_compiler_that_is_not_there_is_said() -> None:
    with pytest.raises(ToolMissingError, match="no-such-compiler could not be asked") as error:
        system_includes("no-such-compiler", "c++")
    assert "apt install g++" in str(error.value)


def test_what_is_no_compiler_is_said() -> None:
    with pytest.raises(ToolMissingError, match="gave no list of system headers"):
        system_includes("true", "c++")


def test_the_compilers_headers_are_found_in_its_order(tmp_path: Path) -> None:
    script = tmp_path / "compiler"
    script.write_text(
        '#!/bin/sh\ncat >&2 <<END\n#include "..." search starts here:\n#include <...> search starts here:\n'
        " /lib/c++/12\n /lib/gcc/../gcc/include\n /usr/include\nEnd of search list.\nEND\n"
    )
    script.chmod(0o755)
    assert system_includes(str(script), "c++") == ("/lib/c++/12", "/lib/gcc/include", "/usr/include")


def test_clangs_builtin_headers_take_the_place_of_the_compilers(tmp_path: Path) -> None:
    own = tmp_path / "gcc"
    own.mkdir()
    for name in ("stddef.h", "stdarg.h"):
        (own / name).touch()
    toolchain = Toolchain(library=Path("l"), version="clang version 18.1.1", resources=Path("/r"))
    arguments = system_arguments(toolchain, ["/c++/12", str(own), "/gcc/include-fixed", "/usr/include"])
    assert [word for word in arguments if word.startswith("/")] == ["/r", "/c++/12", "/r/include", "/usr/include"]
    without = system_arguments(toolchain, ["/c++/12", "/usr/include"])
    assert [word for word in without if word.startswith("/")] == ["/r", "/c++/12", "/r/include", "/usr/include"]
