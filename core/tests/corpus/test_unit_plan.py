from pathlib import Path

import pytest

from nanoplug.corpus import unit_plan
from nanoplug.corpus.clang_toolchain import Toolchain
from nanoplug.corpus.compile_database import CompileCommand
from nanoplug.corpus.source_tree import read_tree
from nanoplug.corpus.unit_plan import UnitPlan, batches, unit_of

TOOLCHAIN = Toolchain(library=Path("l"), version="clang version 18.1.1", resources=Path("/r"))


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit_plan, "system_includes", lambda compiler, language, flags: (f"/of/{compiler}",))


def plan(root: Path, files: dict[str, str], commands: dict[str, tuple[str, ...]] | None = None) -> UnitPlan:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    made = [
        CompileCommand(file=root / name, language="c" if name.endswith(".c") else "c++", flags=flags)
        for name, flags in (commands or {}).items()
    ]
    return UnitPlan(read_tree(root), made, TOOLCHAIN)


def test_without_a_database_the_usual_flags(tmp_path: Path) -> None:
    tasks, left = plan(tmp_path, {"a.cc": "", "b.c": "", "src/c.cc": "", "x/y.h": ""}).sources()
    assert [(t.file.name, t.language, t.flags) for t in tasks] == [
        ("a.cc", "c++", ("-std=c++17", f"-I{tmp_path}", f"-I{tmp_path}/src")),
        ("b.c", "c", (f"-I{tmp_path}", f"-I{tmp_path}/src")),
        ("src/c.cc", "c++", ("-std=c++17", f"-I{tmp_path}", f"-I{tmp_path}/src")),
    ]
    assert left == []
    assert "/of/g++" in tasks[0].arguments
    assert "/of/gcc" in tasks[1].arguments


def test_what_the_database_does_not_name_takes_the_nearest_command(tmp_path: Path) -> None:
    made = plan(
        tmp_path,
        {"a/x.cc": "", "a/y.cc": "", "b/x.cc": "", "b/c/z.cc": "", "b/c/z.h": ""},
        {"a/x.cc": ("-DA",), "b/x.cc": ("-DB", "-std=c++20")},
    )
    tasks, _ = made.sources()
    assert {t.file.name: t.flags[0] for t in tasks if t.flags} == {
        "a/x.cc": "-DA", "a/y.cc": "-DA", "b/x.cc": "-DB", "b/c/z.cc": "-DB"
    }  # fmt: skip
    assert [t.flags for t in made.headers(["b/c/z.h"])[0]] == [("-DB", "-std=c++20")]
    assert len(made.without_command) == 2


def test_headers_of_a_c_project_are_c(tmp_path: Path) -> None:
    assert plan(tmp_path / "c", {"a.c": "", "a.h": ""}).headers(["a.h"])[0][0].language == "c"
    assert plan(tmp_path / "e", {"a.h": ""}).headers(["a.h"])[0][0].language == "c++"
    assert plan(tmp_path / "d", {"a.c": "", "b.cc": "", "a.h": ""}).headers(["a.h"])[0][0].language == "c++"


def test_batches_are_even_and_keep_apart_what_must_be(tmp_path: Path) -> None:
    files = {f"{i}.cc": "" for i in range(7)} | {"u.cc": "using namespace std;\n", "c.c": ""}
    made_plan = plan(tmp_path, files | {"z.cc": "#define A\n#include <a.h>\n", "inc/a.h": "", "a.h": ""})
    tasks = made_plan.with_company(made_plan.sources()[0])
    made = [[task.file.name for task in batch] for batch in batches(tasks, 3)]
    assert made == [["0.cc", "1.cc"], ["2.cc", "3.cc"], ["4.cc", "5.cc", "6.cc"], ["c.c"], ["u.cc"], ["z.cc"]]
    assert unit_of(batches(tasks, 3)[0]).files == (str(tmp_path / "0.cc"), str(tmp_path / "1.cc"))


def test_cuda_is_left_to_another_parser(tmp_path: Path) -> None:
    tasks, left = plan(tmp_path, {"a.cu": "", "b.cc": ""}).sources()
    assert [t.file.name for t in tasks] == ["b.cc"]
    assert [file.name for file in left] == ["a.cu"]


def test_a_unity_file_of_the_build_gives_its_flags_to_what_it_includes(tmp_path: Path) -> None:
    unity = tmp_path / "build" / "deep" / "unity_0.cxx"
    unity.parent.mkdir(parents=True)
    unity.write_text(f'#include "../../tree/a.cc"\n#include "{tmp_path}/tree/b.cc"\n#include "gone.cc"\n')
    files = {"a.cc": "", "b.cc": "", "c.cc": ""}
    for name, content in files.items():
        (tmp_path / "tree").mkdir(exist_ok=True)
        (tmp_path / "tree" / name).write_text(content)
    commands = [
        CompileCommand(file=unity, language="c++", flags=("-DUNITY",)),
        CompileCommand(file=tmp_path / "tree" / "b.cc", language="c++", flags=("-DOWN",)),
    ]
    tasks, _ = UnitPlan(read_tree(tmp_path / "tree"), commands, TOOLCHAIN).sources()
    assert {t.file.name: t.flags for t in tasks if t.file.name != "c.cc"} == {
        "a.cc": ("-DUNITY",),
        "b.cc": ("-DOWN",),
    }
