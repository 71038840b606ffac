from __future__ import annotations

import pytest

from nanoplug.corpus.document_text import Part
from nanoplug.corpus.preamble import PreambleText, fitting_preamble, words_of


def kept(parts: list[tuple[str, str]], text: str, *, types: set[str] | None = None, before: int = 999) -> str:
    preamble = [PreambleText(kind, place, Part((), source)) for place, (kind, source) in enumerate(parts)]
    found = fitting_preamble(preamble, words=words_of(text), shown_types=types or set(), before=before)
    return "\n".join(part.text for part in found)


@pytest.mark.parametrize(
    ("kind", "source", "name"),
    [
        ("define", "#define LIMIT 10", "LIMIT"),
        ("define", "#  define MAX(a, b) \\\n  ((a) > (b) ? (a) : (b))", "MAX"),
        ("typedef", "typedef unsigned long Word;", "Word"),
        ("typedef", "typedef void (*Callback)(int, void* data);", "Callback"),
        ("typedef", "typedef void (Box::*Method)(int);", "Method"),
        ("typedef", "typedef int Row[16];", "Row"),
        ("typedef", "typedef struct { int x; } Point;", "Point"),
        ("alias", "using Names = std::vector<Name>;", "Names"),
        ("alias", "template <class T>\nusing Ref = std::shared_ptr<T>;", "Ref"),
        ("using", "using std::string;", "string"),
        ("namespace_alias", "namespace fs = std::filesystem;", "fs"),
        ("forward", "class Engine;", "Engine"),
        ("forward", "template <typename T> struct Slot;", "Slot"),
        ("forward", "enum class Mode : int;", "Mode"),
        ("forward", "class API_EXPORT Engine;", "Engine"),
    ],
)
def test_only_what_is_used(kind: str, source: str, name: str) -> None:
    assert kept([(kind, source)], f"int f({name} x);") == source
    assert kept([(kind, source)], f"int f({name}x y, std data);") == ""


def test_includes_and_directives_always() -> None:
    parts = [("include", "#include <a>"), ("using", "using namespace std;")]
    assert kept(parts, "int f();") == "#include <a>\nusing namespace std;"


def test_what_a_kept_part_names() -> None:
    parts = [("define", "#define WIDTH 4"), ("alias", "using Row = int[WIDTH];"), ("define", "#define OTHER 1")]
    assert kept(parts, "Row r;") == "#define WIDTH 4\nusing Row = int[WIDTH];"


def test_nothing_from_behind_the_root() -> None:
    assert kept([("include", "#include <a>"), ("include", "#include <b>")], "f", before=1) == "#include <a>"


def test_no_forward_declaration_of_what_is_shown() -> None:
    assert kept([("forward", "class Engine;")], "Engine e;", types={"Engine"}) == ""


def test_parts_of_one_namespace_are_one_paragraph() -> None:
    preamble = [
        PreambleText("include", 0, Part((), "#include <a>")),
        PreambleText("alias", 1, Part(("n",), "using A = int;")),
        PreambleText("alias", 2, Part(("n",), "using B = A;")),
    ]
    found = fitting_preamble(preamble, words={"B"}, shown_types=set(), before=9)
    assert found == [Part((), "#include <a>"), Part(("n",), "using A = int;\nusing B = A;")]
