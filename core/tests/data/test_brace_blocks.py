from __future__ import annotations

import time

import pytest

from nanoplug.data.brace_blocks import brace_blocks


def blocks(text: str) -> list[str]:
    return [text[start:end] for start, end in brace_blocks(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("int f() { return 1; }", ["{ return 1; }"]),
        ("int f() { if (x) { y; } } int g() {}", ["{ if (x) { y; } }", "{}"]),
        ("struct A { int f() { return 1; } };", ["{ int f() { return 1; } }"]),
        ("namespace a { namespace { int f() { x; } } }", ["{ x; }"]),
        ("inline namespace a::b { void f() { x; } }", ["{ x; }"]),
        ('extern "C" { void f() { x; } }', ["{ x; }"]),
        ('extern "C" void f() { x; }', ["{ x; }"]),
        ("using namespace std; int f() { x; }", ["{ x; }"]),
        ("void f() { namespace a = b; { x; } }", ["{ namespace a = b; { x; } }"]),
        ("// { namespace\nint f() { x; /* } */ }", ["{ x; /* } */ }"]),
        ("// one \\\n { two\nint f() { x; }", ["{ x; }"]),
        ("int f() { a = '{'; b = '\\''; c = \"}\\\"}\"; }", ["{ a = '{'; b = '\\''; c = \"}\\\"}\"; }"]),
        ('int f() { s = R"x(} )" )x"; }', ['{ s = R"x(} )" )x"; }']),
        ("int f() { n = 1'000; { m = 2'0; } }", ["{ n = 1'000; { m = 2'0; } }"]),
        ("#define OPEN {\n#error don't \\\n  }\nint f() { x; }", ["{ x; }"]),
        ("} int f() { x; } {", ["{ x; }"]),
        ("f() { x; } /* open { ", ["{ x; }"]),
        ('f() { x; } R"(open { ', ["{ x; }"]),
    ],
)
def test_outermost_blocks(text: str, expected: list[str]) -> None:
    assert blocks(text) == expected


@pytest.mark.parametrize("unit", ["/*", "{", "}", '"', "'", 'R"(', "{ namespace ", "#\\\n", "1'", "\\"])
def test_time_grows_with_the_text(unit: str) -> None:
    began = time.perf_counter()
    brace_blocks(unit * 20_000)
    assert time.perf_counter() - began < 2
