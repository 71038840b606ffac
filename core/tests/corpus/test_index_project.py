"""Indexes small projects and compares with what is written in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nanoplug.corpus.index_project import index_project
from nanoplug.corpus.project_index import Definition, ProjectIndex
from nanoplug.errors import DataError

SHAPES_H = """\
#ifndef SHAPES_H
#define SHAPES_H
#define SCALE 2
namespace geo {
class Later;
enum class Colour { kRed, kBlue };
/// A shape.
struct Shape {
  explicit Shape(int w);
  Shape() = default;
  Shape(const Shape&) = delete;
  virtual ~Shape() {}
  int area() const { return scaled(width_); }
  static int scaled(int x) { return x * SCALE; }
  operator int() const { return area(); }
  Shape& operator+=(const Shape& other) { width_ += other.area(); return *this; }
  friend int peek(const Shape& s) { return s.width_; }
  friend class Later;
  union { int a; float b; } parts;
 private:
  int width_ = scaled(3);
};
typedef struct { int x; } Point;
using Alias = Shape;
inline int twice(int x) { return 2 * x; }
inline double twice(double x) { return 2 * x; }
int helper(int x);
int unwrap(int x);
template <class T> T clamp(T x) { return helper(x) + T(1); }
template <class T> int measure(const T& t) { return t.area(); }
template <class T> class Box {
 public:
  Box(T value) : value_(value) {}
  T get() const { return unwrap(value_); }
  T later() const;
 private:
  T value_;
};
template <class T> T Box<T>::later() const { return get(); }
template <> inline char Box<char>::later() const { return twice(1); }
}  // namespace geo
extern "C" { int c_function(int x); }
#endif
"""

A_CC = """\
#include "shapes.h"
using geo::Shape; using geo::Alias; using geo::Colour; using geo::Box;
using geo::clamp; using geo::twice;
#define LOCAL 1
namespace geo {
int helper(int x) { return x; }
int unwrap(int x) { return x; }
// Größe: ääää, not ASCII.
Shape::Shape(int w) : width_(twice(w)) {}
}
namespace { int hidden() { return 1; } }
static int local(int x) { return x + hidden(); }
extern "C" int c_function(int x) { return local(x); }
int recursive(int n) { return n ? recursive(n - 1) : 0; }
int uses() {
  Shape s(4);
  s += Shape(5);
  int n = s;
  auto lambda = [&](int x) { return peek(s) + twice(2.0) + x; };
  Box<int> box(1);
  return lambda(n) + clamp(3) + box.later() + (int)Colour::kRed + (Alias(1).area()) + geo::measure(s);
}
"""

B_CC = """\
#include "shapes.h"
static long local(long x) { return x; }
namespace { int hidden(int) { return 2; } }
int freeNode() { return 1; }
int exitCode() { return freeNode(); }
int main() { return local(1) + hidden(3) + exitCode() + c_function(2); }
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("build") / "shapes"
    (root / "src").mkdir(parents=True)
    (root / "src" / "shapes.h").write_text(SHAPES_H, newline="")
    (root / "src" / "a.cc").write_bytes(b"\xef\xbb\xbf" + A_CC.replace("\n", "\r\n").encode())
    (root / "src" / "b.cc").write_text(B_CC)
    (root / "other").mkdir()
    (root / "other" / "b.cc").write_text("static int local() { return 5; }\nint main() { return local(); }\n")
    (root / "alone.hpp").write_text("#pragma once\ntemplate <class T> int nobody(T t) { return t.size(); }\n")
    return root


@pytest.fixture(scope="module")
def index(project: Path) -> ProjectIndex:
    return index_project(project)


def one(index: ProjectIndex, name: str, file: str = "") -> Definition:
    found = [d for d in index.definitions if d.qualified_name == name and d.file.endswith(file)]
    assert len(found) == 1, [(d.qualified_name, d.file) for d in index.definitions]
    return found[0]


def called(index: ProjectIndex, definition: Definition, field: str = "calls") -> list[str]:
    by_usr = {d.usr: d for d in index.definitions}
    return [f"{by_usr[usr].qualified_name}:{by_usr[usr].line}" for usr in getattr(definition, field)]


def text(project: Path, definition: Definition, start: int | None = None) -> str:
    data = (project / definition.file).read_bytes()
    return data[definition.start if start is None else start : definition.end].decode()


def test_nothing_goes_wrong(index: ProjectIndex) -> None:
    assert index.problems == ()
    assert {file.parser for file in index.files.values()} == {"clang"}
    assert index.project == "shapes"


def test_every_definition_is_there_once(index: ProjectIndex) -> None:
    names = [(d.kind, d.qualified_name) for d in index.definitions if d.file == "src/shapes.h"]
    assert names == [
        ("enum", "geo::Colour"), ("struct", "geo::Shape"), ("constructor", "geo::Shape::Shape"),
        ("destructor", "geo::Shape::~Shape"), ("method", "geo::Shape::area"), ("method", "geo::Shape::scaled"),
        ("conversion", "geo::Shape::operator int"), ("method", "geo::Shape::operator+="), ("function", "geo::peek"),
        ("struct", "geo::Point"), ("function", "geo::twice"), ("function", "geo::twice"), ("function", "geo::clamp"),
        ("function", "geo::measure"),
        ("class", "geo::Box"), ("constructor", "geo::Box::Box"), ("method", "geo::Box::get"),
        ("method", "geo::Box::later"), ("method", "geo::Box::later"),
    ]  # fmt: skip
    assert len({d.usr for d in index.definitions}) == len(index.definitions)


def test_texts_are_cut_at_bytes(project: Path, index: ProjectIndex) -> None:
    assert text(project, one(index, "uses")).startswith("int uses() {\r\n  Shape s(4);")
    assert text(project, one(index, "uses")).endswith("geo::measure(s);\r\n}")
    shape = one(index, "geo::Shape", "shapes.h")
    assert text(project, shape).startswith("struct Shape {")
    assert text(project, shape).endswith("3);\n};")
    assert text(project, shape, shape.comment_start).startswith("/// A shape.\nstruct")
    made = [d for d in index.definitions if d.qualified_name == "geo::Shape::Shape"]
    assert [text(project, d) for d in made] == ["Shape::Shape(int w) : width_(twice(w)) {}", "Shape() = default;"]
    assert text(project, made[0], made[0].comment_start).startswith("// Größe: ääää, not ASCII.\r\nShape")
    assert [d.body[1] - d.body[0] for d in made] == [2, 0]
    assert text(project, one(index, "geo::Point")) == "typedef struct { int x; } Point;"
    assert text(project, one(index, "geo::clamp")).startswith("template <class T> T clamp(T x) {")
    body = one(index, "geo::clamp").body
    assert (project / "src/shapes.h").read_bytes()[slice(*body)] == b"{ return helper(x) + T(1); }"
    assert one(index, "uses").line == 15


def test_overloads_and_file_static_functions_stay_apart(index: ProjectIndex) -> None:
    assert [d.file for d in index.definitions if d.name == "local"] == ["other/b.cc", "src/a.cc", "src/b.cc"]
    assert [d.line for d in index.definitions if d.name == "twice"] == [25, 26]
    for file, line in (("src/b.cc", 2), ("other/b.cc", 1)):
        main = one(index, "main", file)
        [callee] = [d for d in index.definitions if d.usr in main.calls and d.name == "local"]
        assert (callee.file, callee.line) == (file, line)
    hidden = [d for d in index.definitions if d.name == "hidden"]
    assert [(d.file, d.scope) for d in hidden] == [("src/a.cc", ("",)), ("src/b.cc", ("",))]


def test_calls_are_in_order_of_appearance(index: ProjectIndex) -> None:
    assert called(index, one(index, "uses")) == [
        "geo::Shape::Shape:9", "geo::Shape::operator+=:16", "geo::Shape::operator int:15", "geo::peek:17",
        "geo::twice:26", "geo::Box::Box:33", "geo::clamp:29", "geo::Box::later:39", "geo::Shape::area:13",
        "geo::measure:30",
    ]  # fmt: skip
    assert called(index, one(index, "geo::Shape::area")) == ["geo::Shape::scaled:14"]
    assert called(index, one(index, "recursive")) == ["recursive:14"]
    assert called(index, one(index, "c_function")) == ["local:12"]
    assert called(index, one(index, "geo::Shape", "shapes.h")) == ["geo::Shape::scaled:14"]


def test_names_that_begin_like_library_functions_are_kept(index: ProjectIndex) -> None:
    assert called(index, one(index, "exitCode")) == ["freeNode:4"]
    assert called(index, one(index, "main", "src/b.cc")) == ["local:2", "hidden:3", "exitCode:5", "c_function:13"]


def test_calls_of_templates_are_found_in_what_is_instantiated(index: ProjectIndex) -> None:
    assert called(index, one(index, "geo::clamp")) == ["geo::helper:6"]
    assert called(index, one(index, "geo::Box::get")) == ["geo::unwrap:7"]
    assert called(index, one(index, "geo::measure")) == ["geo::Shape::area:13"]
    general, special = [d for d in index.definitions if d.name == "later"]
    assert called(index, general) == ["geo::Box::get:34"]
    assert called(index, special) == ["geo::twice:25"]
    assert general.container == one(index, "geo::Box").usr


def test_types_that_a_text_names(index: ProjectIndex) -> None:
    assert called(index, one(index, "uses"), "types") == ["geo::Shape:8", "geo::Box:31", "geo::Colour:6"]
    assert called(index, one(index, "geo::peek"), "types") == ["geo::Shape:8"]


def test_where_a_definition_is_written(index: ProjectIndex) -> None:
    assert one(index, "geo::Shape::area").scope == ("geo", "Shape")
    assert one(index, "geo::Shape::area").container == one(index, "geo::Shape", "shapes.h").usr
    assert one(index, "geo::peek").container == ""
    assert one(index, "geo::clamp").template
    assert not one(index, "uses").template


def test_the_preamble_is_what_stands_outside(project: Path, index: ProjectIndex) -> None:
    def parts(name: str) -> list[tuple[str, str, tuple[str, ...]]]:
        data = (project / name).read_bytes()
        return [(p.kind, data[p.start : p.end].decode(), p.scope) for p in index.files[name].preamble]

    assert parts("src/shapes.h") == [
        ("define", "#define SCALE 2", ()), ("forward", "class Later;", ("geo",)),
        ("alias", "using Alias = Shape;", ("geo",)),
    ]  # fmt: skip
    assert [part[:2] for part in parts("src/a.cc")] == [
        ("include", '#include "shapes.h"'), ("using", "using geo::Shape;"), ("using", "using geo::Alias;"),
        ("using", "using geo::Colour;"), ("using", "using geo::Box;"), ("using", "using geo::clamp;"),
        ("using", "using geo::twice;"), ("define", "#define LOCAL 1"),
    ]  # fmt: skip
    assert index.files["src/a.cc"].preamble[0].include == "src/shapes.h"


def test_a_header_that_nothing_includes_is_parsed_on_its_own(index: ProjectIndex) -> None:
    assert one(index, "nobody").file == "alone.hpp"


def test_the_same_from_any_number_of_workers_any_batch_and_the_cache(
    project: Path, index: ProjectIndex, tmp_path: Path
) -> None:
    assert index_project(project, workers=3, cache=tmp_path, batch_sizes=(1,)) == index
    seen: list[tuple[int, int]] = []
    assert index_project(project, cache=tmp_path, on_progress=lambda done, of: seen.append((done, of))) == index
    assert seen[-1][0] == seen[-1][1] == 4


def test_a_tree_without_code_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no C or C\\+\\+ file can be indexed"):
        index_project(tmp_path)
    with pytest.raises(DataError, match="is not a folder"):
        index_project(tmp_path / "gone")


def test_the_compile_database_is_honoured(tmp_path: Path) -> None:
    (tmp_path / "a.cc").write_text(
        "#ifdef ONE\nint one() { return 1; }\n#endif\n#ifdef TWO\nint two() { return X; }\n#endif\n"
    )
    entry = {"directory": str(tmp_path), "file": "a.cc"}
    entries = [
        {**entry, "command": "g++ -DONE -fconcepts -c a.cc"},
        {**entry, "command": "g++ -DTWO '-DX=(1 + 2)' -mno-such -c a.cc"},
        {**entry, "command": "g++ -c gone.cc", "file": "gone.cc"},
    ]
    (tmp_path / "compile_commands.json").write_text(json.dumps(entries))
    index = index_project(tmp_path)
    assert [d.name for d in index.definitions] == ["one", "two"]
    assert [(problem.cause, problem.file) for problem in index.problems] == [
        ("flag unknown to clang: -fconcepts", ""), ("flag unknown to clang: -mno-such", ""),
        ("the compile database names a file that is not there", "gone.cc"),
    ]  # fmt: skip
    assert [d.name for d in index_project(tmp_path, compile_database="none").definitions] == []


def test_a_source_without_a_command_does_not_retell_headers(tmp_path: Path) -> None:
    header = "#ifndef SPACE\n#define SPACE one\n#endif\nnamespace SPACE {\ninline int f() { return 1; }\n}\n"
    (tmp_path / "h.h").write_text(header)
    (tmp_path / "only.h").write_text("inline int g() { return 2; }\n")
    (tmp_path / "a.cc").write_text('#include "h.h"\nint a() { return one::f(); }\n')
    (tmp_path / "b.cc").write_text(
        '#define SPACE two\n#include "h.h"\n#include "only.h"\nint b() { return two::f() + g(); }\n'
    )
    entry = {"directory": str(tmp_path), "file": "a.cc", "arguments": ["c++", "-c", "a.cc"]}
    (tmp_path / "compile_commands.json").write_text(json.dumps([entry]))
    index = index_project(tmp_path)
    names = [definition.qualified_name for definition in index.definitions]
    assert sorted(names) == ["a", "b", "g", "one::f"]
    (calls,) = [definition.calls for definition in index.definitions if definition.name == "a"]
    assert [definition.qualified_name for definition in index.definitions if definition.usr in calls] == ["one::f"]
