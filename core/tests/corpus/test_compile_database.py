import json
from pathlib import Path

import pytest

from nanoplug.corpus.compile_database import find_database, read_database
from nanoplug.errors import DataError


def commands(folder: Path, *entries: object):
    path = folder / "compile_commands.json"
    path.write_text(json.dumps(entries))
    return read_database(path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    file = tmp_path / "src" / "a.cc"
    file.write_text("int a;\n")
    return file


def test_a_command_is_split_as_a_shell_does(tmp_path: Path, source: Path) -> None:
    command = f"""g++ '-DNAME="a b"' -DX=\\"y\\" -I "inc dir" -c {source} -o a.o"""
    [made], problems = commands(tmp_path, {"directory": str(tmp_path), "command": command, "file": str(source)})
    assert made.flags == ('-DNAME="a b"', '-DX="y"', "-I", f"{tmp_path}/inc dir")
    assert (made.file, made.language, made.compiler, problems) == (source, "c++", "g++", [])


def test_arguments_are_taken_as_they_are_and_win(tmp_path: Path, source: Path) -> None:
    arguments = ["cc", '-DTEXT=it\'s "one" word', "-c", "src/a.cc"]
    entry = {"directory": str(tmp_path), "arguments": arguments, "command": "wrong", "file": "src/a.cc"}
    [made], _ = commands(tmp_path, entry)
    assert made.flags == ('-DTEXT=it\'s "one" word',)


def test_paths_are_resolved_against_the_directory_and_keep_their_order(tmp_path: Path, source: Path) -> None:
    words = "g++ -I../z -Ia -isystem sys -iquote q -include first.h --sysroot=root -idirafter /abs -c a.cc"
    [made], _ = commands(tmp_path, {"directory": str(tmp_path / "src"), "command": words, "file": "a.cc"})
    here = f"{tmp_path}/src"
    assert made.flags == (
        f"-I{tmp_path}/z", f"-I{here}/a", "-isystem", f"{here}/sys", "-iquote", f"{here}/q", "-include",
        f"{here}/first.h", f"--sysroot={here}/root", "-idirafter", "/abs",
    )  # fmt: skip


def test_what_is_not_for_the_parser_is_dropped(tmp_path: Path, source: Path) -> None:
    words = (
        "ccache g++ -Wall -g -c -MD -MF a.d -MT a.o -MQ a.o -MP -pipe -o out/a.o other.o -Wp,-DKEEP=1 -O2 -std=c++14 "
        f"-D A=1 -U B ./src/../src/a.cc {source}"
    )
    [made], _ = commands(tmp_path, {"directory": str(tmp_path), "command": words, "file": "src/a.cc"})
    assert made.flags == ("-Wp,-DKEEP=1", "-O2", "-std=c++14", "-D", "A=1", "-U", "B")
    assert made.compiler == "g++"


def test_a_file_may_have_several_entries(tmp_path: Path, source: Path) -> None:
    entry = {"directory": str(tmp_path), "file": "src/a.cc"}
    made, _ = commands(
        tmp_path,
        {**entry, "command": "g++ -DA -c src/a.cc -o 1.o"},
        {**entry, "command": "g++ -DB -c src/a.cc -o 2.o"},
        {**entry, "command": "g++ -DA -c src/a.cc -o 3.o"},
    )
    assert [command.flags for command in made] == [("-DA",), ("-DB",)]


def test_the_language_is_that_of_the_file_unless_the_command_says(tmp_path: Path) -> None:
    for name in ("a.c", "b.cc"):
        (tmp_path / name).write_text("")
    made, _ = commands(
        tmp_path,
        {"directory": str(tmp_path), "command": "gcc -c a.c", "file": "a.c"},
        {"directory": str(tmp_path), "command": "gcc -x c++ -c a.c", "file": "a.c"},
        {"directory": str(tmp_path), "command": "g++ -c a.c", "file": "a.c"},
        {"directory": str(tmp_path), "command": "gcc -c b.cc", "file": "b.cc"},
    )
    assert [(command.language, command.flags) for command in made] == [
        ("c", ()), ("c++", ()), ("c++", ()), ("c++", ()),
    ]  # fmt: skip


def test_response_files_are_read(tmp_path: Path, source: Path) -> None:
    (tmp_path / "flags.rsp").write_text("-DFROM_FILE '-DWITH=a b'")
    entry = {"directory": str(tmp_path), "command": "g++ @flags.rsp -c src/a.cc", "file": "src/a.cc"}
    [made], _ = commands(tmp_path, entry)
    assert made.flags == ("-DFROM_FILE", "-DWITH=a b")


def test_bad_entries_are_named_and_the_rest_is_read(tmp_path: Path, source: Path) -> None:
    good = {"directory": str(tmp_path), "command": "g++ -c src/a.cc", "file": "src/a.cc"}
    made, problems = commands(
        tmp_path, {**good, "file": "gone.cc"}, {"directory": "/"}, "nonsense", {**good, "command": "g++ 'open"}, good
    )
    assert len(made) == 1
    assert [problem.cause for problem in problems] == [
        "the compile database names a file that is not there", *["bad entry in the compile database"] * 3,
    ]  # fmt: skip
    assert problems[0].file == str(tmp_path / "gone.cc")


@pytest.mark.parametrize("text", ["{", '{"a": 1}', "3"])
def test_no_database_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "compile_commands.json").write_text(text)
    with pytest.raises(DataError, match=r"compile_commands\.json"):
        read_database(tmp_path / "compile_commands.json")


def test_the_database_is_found_in_the_root_or_a_build_folder(tmp_path: Path) -> None:
    assert find_database(tmp_path) is None
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "compile_commands.json").write_text("[]")
    assert find_database(tmp_path) == tmp_path / "build" / "compile_commands.json"
    (tmp_path / "compile_commands.json").write_text("[]")
    assert find_database(tmp_path) == tmp_path / "compile_commands.json"
