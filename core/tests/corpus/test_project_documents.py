from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from nanoplug.corpus.project_documents import (
    DocumentSettings,
    DocumentsOf,
    Screened,
    estimate_tokens,
    project_documents,
)
from nanoplug.errors import ConfigError, DataError


def documents(hand: Any, screened: Screened | None = None, count: Any = None, **settings: Any) -> DocumentsOf:
    settings.setdefault("min_tokens", 0)
    return project_documents(hand.index(), hand.root, DocumentSettings(**settings), count, screened)


def texts(made: DocumentsOf) -> dict[str, str]:
    return {document.usr: document.text for document in made.documents}


def shown(made: DocumentsOf) -> dict[str, list[str]]:
    """For each root the names of the functions that its document shows, in order."""
    return {
        usr: [line.split()[1].removesuffix("()") for line in text.splitlines() if line.startswith("int ")]
        for usr, text in texts(made).items()
    }


def test_what_it_calls_comes_first_the_deepest_at_the_top(hand: Any) -> None:
    hand.functions("a.cc", {"top": ["middle", "other"], "middle": ["leaf"], "leaf": [], "other": []})
    assert shown(documents(hand))["top"] == ["leaf", "other", "middle", "top"]
    assert texts(documents(hand))["leaf"] == "int leaf() { return 0; }\n"


def test_depth(hand: Any) -> None:
    hand.functions("a.cc", {f"f{number}": [f"f{number + 1}"] for number in range(8)})
    assert shown(documents(hand))["f0"] == ["f5", "f4", "f3", "f2", "f1", "f0"]
    assert shown(documents(hand, max_dep_depth=1))["f0"] == ["f1", "f0"]


def test_each_shows_all_of_its_cycle_once(hand: Any) -> None:
    hand.functions("a.cc", {"a": ["b"], "b": ["c"], "c": ["a", "c"]})
    assert {usr: sorted(names) for usr, names in shown(documents(hand)).items()} == {key: [*"abc"] for key in "abc"}
    assert all(names[-1] == usr for usr, names in shown(documents(hand)).items())


@pytest.mark.parametrize("name", ["freeNode", "exitCode", "assertion_count", "printf", "operator_of", "__helper"])
def test_names_that_only_look_like_the_systems(hand: Any, name: str) -> None:
    hand.functions("a.cc", {name: [], "caller": [name, "std::sort", "caller"]})
    assert shown(documents(hand))["caller"] == [name, "caller"]


def test_repeats_are_bounded(hand: Any) -> None:
    callers = {f"f{number}": ["leaf"] for number in range(10)}
    for size, repeats, times in ((3000, 2, 3), (3000, 3, 4), (3000, 0, 11), (900, 2, 5), (10, 1, 11)):
        hand.definitions.clear()
        hand.functions("a.cc", {"leaf": [], **callers}, text="int {}() {{ /*" + "x" * size + "*/ }}")
        assert sum("leaf" in names for names in shown(documents(hand, max_repeats=repeats)).values()) == times


def test_no_byte_is_lost_or_moved_where_source_is_not_ascii(hand: Any) -> None:
    helper = 'const char* name() { return "naïve 数学 🚀"; }'
    root = "int f() { /* größer */ return name()[0]; }"
    hand.file("ü/a.cc", f"// Ωmega\n#include <a>\r\n{helper}\n\t// über\n{root}\n")
    hand.preamble("ü/a.cc", "include", "#include <a>")
    hand.define("ü/a.cc", helper, "name")
    hand.define("ü/a.cc", root, "f", comment="// über\n", calls=["name"])
    assert texts(documents(hand))["f"] == f"#include <a>\n\n{helper}\n\n// über\n{root}\n"


def test_namespaces_around_what_comes_from_several_files(hand: Any) -> None:
    hand.file("a.cc", "namespace n { namespace { int help() { return 1; } } int f() { return help(); } }")
    hand.define("a.cc", "int help() { return 1; }", "help", scope=("n", ""))
    hand.define("a.cc", "int f() { return help(); }", "f", scope=("n",), calls=["help"])
    assert texts(documents(hand))["f"] == (
        "namespace n {\nnamespace {\n\nint help() { return 1; }\n\n}  // namespace\n\n"
        "int f() { return help(); }\n\n}  // namespace n\n"
    )


def test_a_member_stands_behind_its_class_and_inline_members_inside(hand: Any) -> None:
    box = "class Box { int a() { return help(); } int b(); };"
    hand.file("box.h", box)
    hand.file("box.cc", "int help() { return 1; }\nint Box::b() { return a(); }\n")
    hand.define("box.h", box, "Box", kind="class", types=["Box"])
    hand.define("box.h", "int a() { return help(); }", "a", kind="method", scope=("Box",), calls=["help"])
    hand.define("box.cc", "int help() { return 1; }", "help")
    hand.define("box.cc", "int Box::b() { return a(); }", "b", kind="method", container="Box", calls=["a"])
    found = texts(documents(hand))
    assert list(found) == ["help", "b", "Box"]
    assert found["b"] == f"int help() {{ return 1; }}\n\n{box}\n\nint Box::b() {{ return a(); }}\n"
    assert found["Box"] == f"int help() {{ return 1; }}\n\n{box}\n"


def test_types_have_documents_only_if_no_function_shows_them(hand: Any) -> None:
    hand.file("a.h", "struct Used { int x; };\nstruct Alone { Used y; };\nint f(Used u) { return u.x; }")
    hand.define("a.h", "struct Used { int x; };", "Used", kind="struct")
    hand.define("a.h", "struct Alone { Used y; };", "Alone", kind="struct", types=["Used"])
    hand.define("a.h", "int f(Used u) { return u.x; }", "f", types=["Used"])
    made = texts(documents(hand))
    assert list(made) == ["Alone", "f"]
    assert made["Alone"] == "struct Used { int x; };\n\nstruct Alone { Used y; };\n"


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


@pytest.mark.parametrize("budget", range(5, 32))
@pytest.mark.parametrize("count", [words, None])
def test_the_budget_holds_for_the_whole_text(hand: Any, budget: int, count: Any) -> None:
    hand.file("a.cc", "#include <a>\n")
    hand.preamble("a.cc", "include", "#include <a>")
    hand.functions("b.cc", {"top": ["x", "y"], "x": ["z"], "y": [], "z": []}, text="int {}() {{ a b c }}")
    made = documents(hand, count=count, max_tokens=budget)
    for document in made.documents:
        assert (count or estimate_tokens)([document.text]) == [document.tokens]
        assert document.tokens <= budget
    names = shown(made).get("top", [])
    assert names[:-1] == ["y", "z", "x"][: max(0, len(names) - 1)]
    if count is words and budget >= 7:
        assert len(names) == min(4, budget // 7)


def test_roots_over_the_budget(hand: Any) -> None:
    hand.file("a.cc", "int f() {\n" + "  go();\n" * 100 + "}")
    hand.define("a.cc", hand.data["a.cc"].decode(), "f")
    cut = documents(hand, max_tokens=50)
    assert cut.notes == {"root cut at max_tokens": 1}
    assert texts(cut)["f"] == "int f() {\n" + "  go();\n" * 24
    skipped = documents(hand, max_tokens=50, oversize="skip")
    assert (skipped.documents, skipped.dropped) == ((), {"root longer than max_tokens": 1})


def test_short_documents_are_dropped(hand: Any) -> None:
    hand.functions("a.cc", {"short": [], "long" * 30: []})
    made = documents(hand, min_tokens=20)
    assert [document.usr for document in made.documents] == ["long" * 30]
    assert made.dropped == {"shorter than min_tokens": 1}


def test_a_file_that_changed_since_is_named(hand: Any) -> None:
    hand.functions("a.cc", {"f": []})
    index = hand.index()
    (hand.root / "a.cc").write_text("int g() { return 0; }")
    with pytest.raises(DataError, match=r"a\.cc was changed after"):
        project_documents(index, hand.root, DocumentSettings(), None)
    (hand.root / "a.cc").unlink()
    with pytest.raises(DataError, match=r"a\.cc could be read"):
        project_documents(index, hand.root, DocumentSettings(), None)


@pytest.mark.parametrize("bad", [b"\xe9", b"\0"])
def test_only_what_is_not_text_is_lost(hand: Any, bad: bytes) -> None:
    hand.file("a.cc", b"int good() { return 1; } /* " + bad + b" */ int bad() { /*" + bad + b"*/ return good(); }")
    hand.define("a.cc", "int good() { return 1; }", "good")
    start = hand.data["a.cc"].index(b"int bad")
    hand.define("a.cc", "int bad() {", "bad", calls=["good"])
    from attrs import evolve

    hand.definitions[-1] = evolve(hand.definitions[-1], start=start, end=len(hand.data["a.cc"]))
    made = documents(hand)
    assert list(texts(made)) == ["good"]
    assert made.dropped == {"not UTF-8": 1}


def test_what_is_screened_is_shown_nowhere(hand: Any) -> None:
    hand.functions("a.cc", {"f": ["secret", "gpl"], "secret": []})
    hand.functions("gpl.cc", {"gpl": []})
    at = hand.data["a.cc"].index(b"int secret")
    made = documents(hand, Screened({"gpl.cc": "licence GPL"}, {"a.cc": [(at + 3, at + 9, "holds a key")]}))
    assert shown(made) == {"f": ["f"]}
    assert made.dropped == {"holds a key": 1, "licence GPL": 1}


def test_no_training_document_shows_what_is_held_out(hand: Any) -> None:
    hand.functions("val.cc", {"v": ["t"]})
    hand.functions("train.cc", {"t": [], "u": ["v"]})
    made = documents(hand, held_out=frozenset({"val.cc"}))
    assert shown(made) == {"t": ["t"], "u": ["u"], "v": ["t", "v"]}
    assert {document.usr: document.held_out for document in made.documents} == {"t": False, "u": False, "v": True}


@pytest.mark.parametrize(
    "settings", [{"max_tokens": 0}, {"max_dep_depth": -1}, {"max_repeats": -1}, {"oversize": "drop"}]
)
def test_impossible_settings(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        DocumentSettings(**settings)
