import hashlib
from pathlib import Path
from typing import Any

import pytest

from nanoplug.corpus.source_tree import TreeFile
from nanoplug.corpus.tree_sitter_files import parse_with_tree_sitter

CODE = """\
#include "a.h"
#define X 1
namespace a { namespace {
// doc
int f(int x) { return g(x) + ns::h<int>(x); } }
template <class T> struct S : B<T> {
  S() : b_(1) {}
  operator int() const { return h(); }
  T get() const { return this->b_.foo(); }
  S& operator=(const S&) = default;
  S(S&&) = delete;
  enum E { A };
  struct In { int y; };
};
using namespace std;
typedef struct { int x; } P;
class Fwd;
using Z = int;
namespace al = a::b;
}
template <class T> S<T>::~S() { new Q(1); }
extern "C" { void cfun(void) { auto l = [](int q) { return r(q); }; f(1); } }
A::operator bool() const { return true; }
#ifdef Y
int& A::B::m(V v) { return f(2); }
#else
int A::B::m(int) try { return f(2); } catch (...) { return lost(
#endif
"""


@pytest.fixture
def facts(tmp_path: Path) -> dict[str, Any]:
    return parse(tmp_path / "x.cc", CODE)


def parse(path: Path, code: str, language: str = "c++") -> dict[str, Any]:
    path.write_text(code)
    digest = hashlib.sha256(code.encode()).hexdigest()
    file = TreeFile(path=path, name=path.name, bytes=len(code), sha256=digest, source=True, language=language)
    return parse_with_tree_sitter(file)


def by_name(facts: dict[str, Any]) -> dict[str, Any]:
    return {record["qualified"]: record for record in facts["definitions"]}


def test_definitions_of_every_kind(facts: dict[str, Any]) -> None:
    found = by_name(facts)
    assert {name: record["kind"] for name, record in found.items() if name != "A::B::m"} == {
        "a::f": "function", "a::S": "struct", "a::S::S": "constructor", "a::S::operator int": "conversion",
        "a::S::get": "method", "a::S::operator=": "method", "a::S::E": "enum", "a::S::In": "struct",
        "a::P": "struct", "S::~S": "destructor", "cfun": "function", "A::operator bool": "conversion",
    }  # fmt: skip
    assert found["a::f"]["scope"] == ["a", ""]
    assert found["a::S"]["template"]
    assert found["a::S::get"]["container"]


def test_texts(facts: dict[str, Any]) -> None:
    def text(name: str, start: str = "start") -> str:
        record = by_name(facts)[name]
        return CODE[record[start] : record["end"]]

    assert text("a::f", "comment").startswith("// doc\nint f(int x)")
    assert text("a::S").startswith("template <class T> struct S")
    assert text("a::S").endswith("};\n};")
    assert text("a::P") == "typedef struct { int x; } P;"
    assert text("S::~S") == "template <class T> S<T>::~S() { new Q(1); }"
    body = by_name(facts)["cfun"]["body"]
    assert CODE[slice(*body)].startswith("{ auto l")


def test_calls_and_types_are_names(facts: dict[str, Any]) -> None:
    found = by_name(facts)
    assert list(found["a::f"]["calls"]) == ["?g", "?h"]
    assert list(found["cfun"]["calls"]) == ["?r", "?f"]
    assert list(found["a::S::get"]["calls"]) == ["?foo"]
    assert "?B" in found["a::S"]["types"]


def test_the_preamble(facts: dict[str, Any]) -> None:
    assert [(kind, CODE[start:end], scope) for kind, start, end, scope in facts["preamble"]] == [
        ("alias", "using Z = int;", ["a"]), ("define", "#define X 1", []), ("forward", "class Fwd;", ["a"]),
        ("include", '#include "a.h"', []), ("namespace_alias", "namespace al = a::b;", ["a"]),
        ("using", "using namespace std;", ["a"]),
    ]  # fmt: skip


def test_overloads_have_keys_of_their_own(tmp_path: Path) -> None:
    facts = parse(tmp_path / "o.cc", "int f(int) { return 1; }\nint f(long) { return 2; }\nint f(int) { return 3; }\n")
    assert len({record["key"] for record in facts["definitions"]}) == 3


def test_c_has_its_own_grammar(tmp_path: Path) -> None:
    facts = parse(tmp_path / "c.c", "int new(int class) { return delete(class); }\n", "c")
    assert list(by_name(facts)["new"]["calls"]) == ["?delete"]


def test_what_is_no_code_at_all_is_read(tmp_path: Path) -> None:
    assert parse(tmp_path / "n.cc", "((((({{{{{ \x01 not code ;;; )))" * 200)["file"] == "n.cc"
