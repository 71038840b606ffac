from pathlib import Path

import pytest

from nanoplug.corpus.clang_toolchain import find_toolchain
from nanoplug.corpus.parse_unit import Unit, UnitParser, reached


@pytest.fixture(scope="module")
def library() -> str:
    return str(find_toolchain().library)


def unit(
    root: Path, files: dict[str, str], *arguments: str, parsed: tuple[str, ...] = ()
) -> tuple[Unit, dict[str, str]]:
    for name, content in files.items():
        (root / name).write_text(content)
    paths = tuple(str(root / name) for name in parsed or files)
    made = Unit(files=paths, language="c++", arguments=("-fsyntax-only", "-nostdinc", *arguments))
    return made, {str(root / name): name for name in files}


def test_flags_that_clang_refuses_are_dropped_and_told(tmp_path: Path, library: str) -> None:
    made, names = unit(tmp_path, {"a.cc": "int a;\n"}, "-fno-such", "-march=no-such", "-DX=1", "-mno-such")
    parser = UnitParser(library, names)
    found = parser.parse(made)
    assert sorted(found.flags) == ["-fno-such", "-march=no-such", "-mno-such"]
    assert (found.errors, list(found.facts)) == ({}, ["a.cc"])


def test_facts_that_were_sent_are_not_sent_again(tmp_path: Path, library: str) -> None:
    made, names = unit(tmp_path, {"a.cc": '#include "a.h"\nint a() { return 1; }\n', "a.h": "\n"}, parsed=("a.cc",))
    parser = UnitParser(library, names)
    first, second = parser.parse(made), parser.parse(made)
    assert sorted(first.facts) == ["a.cc", "a.h"]
    assert first.facts == second.facts
    assert set(first.blobs) == set(first.facts.values())
    assert second.blobs == {}


def test_macros_of_one_file_do_not_reach_the_next(tmp_path: Path, library: str) -> None:
    files = {"a.cc": "#define NAME a\nint NAME() { return 1; }\n", "b.cc": "int NAME() { return 2; }\n"}
    made, names = unit(tmp_path, files)
    found = UnitParser(library, names).parse(made)
    records = [record for blob in found.blobs.values() for record in blob["definitions"]]
    assert sorted(record["name"] for record in records) == ["NAME", "a"]
    assert found.errors == {}


def test_each_file_of_a_batch_may_have_a_main(tmp_path: Path, library: str) -> None:
    files = {f"{name}.cc": f"int {name};\nint main(int, char**) {{ return {name}; }}\n" for name in "abc"}
    made, names = unit(tmp_path, files)
    together = UnitParser(library, names).parse(made)
    alone = [UnitParser(library, names).parse(unit(tmp_path, files, parsed=(name,))[0]) for name in files]
    assert together.errors == {}
    assert together.facts == {name: facts for one in alone for name, facts in one.facts.items()}
    assert {r["name"] for blob in together.blobs.values() for r in blob["definitions"]} == {"main"}


def test_an_error_is_told_of_the_file_that_led_to_it(tmp_path: Path, library: str) -> None:
    files = {"a.cc": "int a;\n", "b.cc": '#include "b.h"\n', "b.h": "wrong here;\n", "c.cc": '#include "lost.h"\n'}
    made, names = unit(tmp_path, files, parsed=("a.cc", "b.cc", "c.cc"))
    found = UnitParser(library, names).parse(made)
    assert {name: errors[0][0] for name, errors in found.errors.items()} == {"b.cc": "error", "c.cc": "missing"}
    assert found.errors["c.cc"] == [["missing", "header not found: lost.h"]]


def test_what_is_reached() -> None:
    assert reached("a", {"a": ["b"], "b": ["c", "a"], "d": ["e"]}) == {"a", "b", "c"}
