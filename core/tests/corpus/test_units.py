from __future__ import annotations

from typing import Any

from nanoplug.corpus.units import units_of

CLASS = "struct Box {\n  int get() { return help(); }\n  void set(int);\n};"
MEMBER = "void Box::set(int value) { use(value); }"


def project(hand: Any) -> None:
    hand.file("box.h", f"int help() {{ return 1; }}\n// A box.\n{CLASS}\n{MEMBER}\n")
    hand.define("box.h", "int help() { return 1; }", "help")
    hand.define("box.h", CLASS, "Box", kind="struct", comment="// A box.\n")
    hand.define("box.h", "int get() { return help(); }", "get", kind="method", scope=("Box",), calls=["help"])
    hand.define("box.h", MEMBER, "set", kind="method", container="Box", calls=["set"])


def test_inline_members_belong_to_their_class(hand: Any) -> None:
    project(hand)
    units = units_of(hand.index())
    assert list(units) == ["help", "Box", "set"]
    assert [each.usr for each in units["Box"].definitions] == ["Box", "get"]
    assert units["Box"].needs == ("help",)
    assert units["Box"].has_function
    data = hand.data["box.h"]
    assert data[units["Box"].start : units["Box"].end].decode() == f"// A box.\n{CLASS}"


def test_a_member_outside_needs_its_class(hand: Any) -> None:
    project(hand)
    assert units_of(hand.index())["set"].needs == ("Box",)


def test_whoever_calls_an_inline_member_needs_its_class(hand: Any) -> None:
    project(hand)
    hand.functions("main.cc", {"main": ["get", "unknown"]})
    assert units_of(hand.index())["main"].needs == ("Box",)


def test_what_is_defined_inside_a_function(hand: Any) -> None:
    text = "void f() { struct Local { int x; }; }"
    hand.file("a.cc", text)
    hand.define("a.cc", text, "f", types=["Local"])
    hand.define("a.cc", "struct Local { int x; };", "Local", kind="struct")
    (unit,) = units_of(hand.index()).values()
    assert unit.key == "f"
    assert unit.needs == ()


def test_what_a_macro_spells_at_one_place(hand: Any) -> None:
    hand.file("t.cc", "TEST(A, B) { run(); }")
    hand.define("t.cc", "TEST(A, B)", "Fixture", kind="class")
    hand.define("t.cc", "TEST(A, B) { run(); }", "TestBody", kind="method", container="Fixture")
    (unit,) = units_of(hand.index()).values()
    assert unit.key == "TestBody"
    assert unit.end == len("TEST(A, B) { run(); }")
