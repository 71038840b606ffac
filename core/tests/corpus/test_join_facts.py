from pathlib import Path
from typing import Any

from nanoplug.corpus.join_facts import JoinedFacts
from nanoplug.corpus.project_index import Definition
from nanoplug.corpus.short_keys import short_key
from nanoplug.corpus.source_tree import TreeFile


def tree(*names: str) -> dict[str, TreeFile]:
    return {
        name: TreeFile(path=Path(name), name=name, bytes=9, sha256="now", source=True, language="c++") for name in names
    }


def record(key: str, start: int, calls: dict[str, int] | None = None, **more: Any) -> dict[str, Any]:
    made = {
        "key": key, "kind": "function", "name": key, "qualified": key, "start": start, "end": start + 5,
        "body": [start + 1, start + 5], "line": 1, "comment": start, "scope": [], "container": "", "template": False,
        "calls": {short_key(k): v for k, v in (calls or {}).items()}, "types": {}, "guesses": {}, "instances": [],
    }  # fmt: skip
    return {**made, **more}


def blob(file: str, *records: dict[str, Any], sha: str = "now") -> dict[str, Any]:
    return {"file": file, "sha256": sha, "definitions": list(records), "preamble": []}


def calls(definitions: tuple[Definition, ...]) -> dict[str, tuple[str, ...]]:
    return {definition.usr: definition.calls for definition in definitions}


def test_one_key_in_several_places_becomes_several() -> None:
    facts = JoinedFacts(tree("a", "b", "c"))
    facts.add_file(blob("b", record("main", 0), record("f", 10, {"main": 12})))
    facts.add_file(blob("a", record("main", 3), record("main", 30)))
    facts.add_file(blob("c", record("g", 0, {"main": 1})))
    assert calls(facts.definitions()) == {
        "main": (), "main@a": (), "main@b": (), "f": ("main@b",), "g": ("main",)
    }  # fmt: skip


def test_what_two_units_saw_of_one_definition_is_joined_in_order_of_the_text() -> None:
    units = [
        blob("a", record("f", 0, {"g": 9, "h": 3}), record("g", 20), record("h", 30)),
        blob("a", record("f", 0, {"i": 5, "g": 2}), record("i", 40)),
    ]
    for order in (units, units[::-1]):
        facts = JoinedFacts(tree("a"))
        for one in order:
            facts.add_file(one)
        assert calls(facts.definitions())["f"] == ("g", "h", "i")


def test_facts_about_another_content_are_passed_over() -> None:
    facts = JoinedFacts(tree("a"))
    facts.add_file(blob("a", record("old", 0), sha="before"))
    facts.add_file(blob("gone", record("lost", 0)))
    assert facts.definitions() == ()
    assert facts.files()["a"].parser == "none"


def test_calls_of_an_instantiation_count_if_something_leads_to_it() -> None:
    def instance(name: str, pattern: str, *more: str, **called: int) -> dict[str, Any]:
        return {
            "instance": name, "pattern": short_key(pattern), "file": "a", "sha256": "now",
            "calls": {short_key(key): offset for key, offset in called.items()}, "instances": list(more),
        }  # fmt: skip

    facts = JoinedFacts(tree("a"))
    facts.add_file(
        blob(
            "a",
            record("user", 0, instances=["f<int>"]),
            record("f", 10),
            record("g", 20),
            record("x", 30),
            record("y", 40),
            record("z", 50),
        )
    )
    facts.add_instance(instance("f<int>", "f", "g<int>", x=12))
    facts.add_instance(instance("g<int>", "g", "f<int>", y=22))
    facts.add_instance(instance("f<char>", "f", z=12))
    found = calls(facts.definitions())
    assert (found["f"], found["g"]) == (("x",), ("y",))


def test_names_lead_to_the_one_definition_they_can_mean() -> None:
    facts = JoinedFacts(tree("a", "b", "c"))
    by_name = record("ts:a#f", 0, name="f", qualified="n::f")
    by_name["calls"] = {"?twin": 1, "?only": 2, "?many": 3, "?nothing": 4}
    facts.add_file(blob("a", by_name, record("ts:a#twin", 10, name="twin")), "tree-sitter")
    facts.add_file(
        blob("b", record("b:twin", 0, name="twin"), record("b:only", 10, name="only"), record("m1", 20, name="many"))
    )
    facts.add_file(blob("c", record("m2", 0, name="many"), record("caller", 10, {"usr of f": 11})))
    facts.names[short_key("usr of f")] = "n::f"
    found = calls(facts.definitions())
    assert found["ts:a#f"] == ("ts:a#twin", "b:only")
    assert found["caller"] == ("ts:a#f",)


def test_a_guess_counts_only_where_no_instantiation_is_known() -> None:
    facts = JoinedFacts(tree("a"))
    guess = {short_key("x"): 11}
    facts.add_file(
        blob(
            "a",
            record("user", 0, instances=["f<int>"]),
            record("f", 10, guesses=guess),
            record("g", 20, guesses=guess),
            record("x", 30),
        )
    )
    instance = {"instance": "f<int>", "pattern": short_key("f"), "calls": {}, "instances": []}
    facts.add_instance({**instance, "file": "a", "sha256": "now"})
    found = calls(facts.definitions())
    assert (found["f"], found["g"]) == ((), ("x",))


def test_one_text_under_two_keys_is_one_definition() -> None:
    facts = JoinedFacts(tree("a"))
    facts.add_file(blob("a", record("f<T>", 0, {"g": 1}, qualified="f"), record("g", 20)))
    facts.add_file(blob("a", record("f<U>", 0, {"h": 2}, qualified="f"), record("h", 40, {"f<U>": 41})))
    facts.add_file(blob("a", record("x", 60, {"f<T>": 61})))
    assert calls(facts.definitions()) == {"f<T>": ("g", "h"), "g": (), "h": ("f<T>",), "x": ("f<T>",)}
