"""What is wrong with a project is named by its cause, and the rest is indexed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nanoplug.corpus import unit_plan
from nanoplug.corpus.clang_toolchain import ToolMissingError
from nanoplug.corpus.index_project import index_project
from nanoplug.corpus.project_index import ProjectIndex


def write(root: Path, **files: str | bytes) -> None:
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def names(index: ProjectIndex) -> list[str]:
    return [definition.qualified_name for definition in index.definitions]


def causes(index: ProjectIndex) -> list[tuple[str, str]]:
    return [(problem.cause, problem.file) for problem in index.problems]


def test_bad_files_are_named(tmp_path: Path) -> None:
    write(
        tmp_path,
        good_cc="int good() { return 1; }\n",
        nul_cc=b"int nul() { return 1; }\0\n",
        cycle_h='#include "ring.h"\nint cycle() { return 1; }\n',
        ring_h='#include "cycle.h"\nint ring() { return 1; }\n',
        latin_cc=b"// \xe4\xf6\xfc\nint latin() { return 1; }\n",
        empty_cc="",
    )
    with open(tmp_path / "large.cc", "wb") as file:
        file.truncate(100 << 20)
    (tmp_path / "gone.cc").symlink_to("nowhere.cc")
    index = index_project(tmp_path)
    assert {"good", "latin", "cycle", "ring"} == set(names(index))
    found = dict(causes(index))
    assert found["holds NUL bytes"] == "nul.cc"
    assert found["larger than 500,000 bytes"] == "large.cc"
    assert found["broken link"] == "gone.cc"
    assert found["does not compile with clang"] in ("cycle.h", "ring.h")


def test_a_missing_header_means_tree_sitter_for_those_that_need_it(tmp_path: Path) -> None:
    write(
        tmp_path,
        a_cc='#include "lost.h"\nint in_a(lost::Thing t) { return t.size() + in_b() + twin(); }\n'
        "int twin() { return 1; }\n",
        b_cc="int in_a(int);\nint in_c(int);\nint in_b() { return in_c(1); }\nstatic int twin() { return 2; }\n",
        c_cc='#include "c.h"\nint in_c(int x) { return x; }\n',
        c_h='#pragma once\n#include "lost.h"\ninline int in_header() { return 1; }\n',
        d_cc='#include "c.h"\nint in_d() { return in_header(); }\n',
    )
    index = index_project(tmp_path)
    parsers = {name: file.parser for name, file in index.files.items()}
    assert parsers == {
        "a.cc": "tree-sitter", "b.cc": "clang", "c.cc": "tree-sitter", "c.h": "tree-sitter", "d.cc": "tree-sitter"
    }  # fmt: skip
    assert causes(index) == [("header not found: lost.h", name) for name in ("a.cc", "c.cc", "c.h", "d.cc")]
    found = {d.name: d for d in index.definitions if d.file != "b.cc"} | {
        d.name: d for d in index.definitions if d.name == "in_b"
    }
    assert found["in_a"].usr.startswith("ts:a.cc#in_a")
    # By name: to the one definition that there is, or to the file's own.
    assert found["in_a"].calls == (found["in_b"].usr, found["twin"].usr)
    assert found["in_b"].calls == (found["in_c"].usr,)
    assert index_project(tmp_path, workers=2, batch_sizes=(1,)) == index


def test_files_that_cannot_share_a_unit_are_parsed_apart(tmp_path: Path) -> None:
    write(
        tmp_path,
        a_cc="struct Same { int x; };\n#define MACRO 1\nint a() { return Same{1}.x + MACRO; }\n",
        b_cc="struct Same { long y; };\nstatic int MACRO() { return 1; }\nint b() { return Same{1}.y + MACRO(); }\n",
        c_cc="struct Only { int f() { return 1; } };\nint helper(long) { return 1; }\n",
        d_cc="int helper(int);\nint d() { return helper(1); }\n",
        e_cc="static int f(long) { return 1; }\nint e() { return f(1); }\n",
        f_cc="static int f(int) { return 1; }\nint call_f() { return f(1); }\n",
        g_cc="static int f(short) { return 1; }\nint g() { return f(1L); }\n",
        h_cc="int h(Only o) { return o.f(); }\n",
    )
    together = index_project(tmp_path)
    assert together == index_project(tmp_path, batch_sizes=(1,))
    assert causes(together) == [("does not compile with clang", "h.cc")]
    calls = {d.name: d.calls for d in together.definitions}
    where = {d.usr: d.file for d in together.definitions}
    assert [where[calls[name][0]] for name in ("e", "call_f", "g")] == ["e.cc", "f.cc", "g.cc"]


def test_a_crash_of_clang_costs_one_file(tmp_path: Path) -> None:
    write(
        tmp_path,
        a_cc="int a() { return 1; }\n",
        b_cc="#pragma clang __debug crash\nint b() { return a(); }\n",
        c_cc="int a();\nint c() { return a(); }\n",
    )
    index = index_project(tmp_path)
    assert {d.name: d.parser for d in index.definitions} == {"a": "clang", "b": "tree-sitter", "c": "clang"}
    [problem] = index.problems
    assert (problem.cause, problem.file) == ("clang gave nothing", "b.cc")


def test_without_a_compiler_tree_sitter_reads_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(compiler: str, language: str, flags: object) -> tuple[str, ...]:
        raise ToolMissingError(f"{compiler} could not be asked.")

    monkeypatch.setattr(unit_plan, "system_includes", missing)
    write(tmp_path, a_cc="int a() { return 1; }\n", b_c="int b(void) { return 1; }\n", c_h="int c();\n")
    index = index_project(tmp_path)
    assert {file.parser for file in index.files.values()} == {"tree-sitter"}
    assert causes(index) == [
        ("no system headers: g++ cannot be asked", ""), ("no system headers: gcc cannot be asked", "")
    ]  # fmt: skip
    assert names(index) == ["a", "b"]


def test_touching_a_file_parses_what_depends_on_it_again(tmp_path: Path) -> None:
    root, cache = tmp_path / "root", tmp_path / "cache"
    write(
        root,
        a_cc='#include "macros.h"\nint a() { return one(); }\n',
        macros_h='#pragma once\n#define M 1\n#include "a.h"\n',
        a_h="#pragma once\ninline int one() { return 1; }\n",
        b_cc="int b() { return 1; }\n",
    )

    def run() -> tuple[ProjectIndex, int]:
        seen: list[int] = []
        index = index_project(root, cache=cache, on_progress=lambda done, of: seen.append(done))
        assert index == index_project(root)
        # What the cache has is reported at once.
        return index, seen[-1] - seen[0]

    index, parsed = run()
    assert {file.parser for file in index.files.values()} == {"clang"}
    assert parsed == 2
    assert run()[1] == 0
    write(root, b_cc="int b2() { return 1; }\n")
    index, parsed = run()
    assert (names(index), parsed) == (["a", "one", "b2"], 1)
    write(root, a_h="#pragma once\ninline int two() { return 1; }\ninline int one() { return two(); }\n")
    index, parsed = run()
    assert (names(index), parsed) == (["a", "two", "one", "b2"], 1)
    (root / "b.cc").unlink()
    assert names(run()[0]) == ["a", "two", "one"]
    for path in cache.rglob("*.json.z"):
        path.write_bytes(path.read_bytes()[:100])
    assert names(run()[0]) == ["a", "two", "one"]


def test_flags_are_part_of_the_cache_key(tmp_path: Path) -> None:
    write(tmp_path, a_cc="#ifdef A\nint a() { return 1; }\n#else\nint b() { return 1; }\n#endif\n")

    def run(flag: str) -> list[str]:
        entry = {"directory": str(tmp_path), "file": "a.cc", "command": f"g++ {flag} -c a.cc"}
        (tmp_path / "compile_commands.json").write_text(json.dumps([entry]))
        return names(index_project(tmp_path, cache=tmp_path / "cache"))

    assert [run("-DA"), run("-DB"), run("-DA")] == [["a"], ["b"], ["a"]]


def test_what_a_template_may_call_is_guessed_only_without_instantiations(tmp_path: Path) -> None:
    write(
        tmp_path,
        a_cc="struct S {};\nbool operator!=(S, S) { return true; }\nint only(S) { return 1; }\n"
        "template <class T> bool unused(T t) { return only(t) && t != nullptr; }\n"
        "namespace n { struct P {}; }\n"
        "template <class T> int used(T t) { return only(t); }\n"
        "namespace n { int only(P) { return 2; } }\n"
        "int use() { return used(n::P()); }\n",
    )
    index = index_project(tmp_path)
    name = {d.usr: d.qualified_name for d in index.definitions}
    calls = {d.name: [name[usr] for usr in d.calls] for d in index.definitions}
    assert calls["unused"] == ["only"]
    assert calls["used"] == ["n::only"]
