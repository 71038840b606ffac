from nanoplug.corpus.directives import configures_headers, defined_names, directives_of, guard_of


def texts(data: bytes) -> list[bytes]:
    return [data[line.start : line.end] for line in directives_of(data)]


def test_lines_are_found_with_their_continuations() -> None:
    data = b"#include <a.h>  \n  #  define F(x) \\\n  ((x) + \\\r\n 1)\r\nint a; # not\n#endif\n"
    assert texts(data) == [b"#include <a.h>", b"#  define F(x) \\\n  ((x) + \\\r\n 1)", b"#endif"]


def test_comments_and_strings_hide_lines() -> None:
    data = b'/*\n#define A\n*/ // \\\n#define B\nconst char* s = R"x(\n#define C\n)" )x";\n'
    data += b"char q = '\"';\n#define D /* e\n f */ 1\n"
    assert defined_names(data) == ["D"]
    assert texts(data) == [b"#define D /* e\n f */ 1"]


def test_a_digit_separator_is_no_string() -> None:
    assert defined_names(b"int a = 1'000;\n#define A\nint b = 2'000;\n") == ["A"]


def test_an_unclosed_string_ends_with_its_line() -> None:
    assert defined_names(b"#error don't\n#define A\n\"open\n#define B\n") == ["A", "B"]


def test_the_define_of_an_include_guard_is_known() -> None:
    data = b"// text\n#pragma once\n#ifndef A_H\n#define A_H\n#define OTHER\n#endif\n"
    assert data[guard_of(data) :].startswith(b"#define A_H")
    assert guard_of(b"#if !defined(A_H)\n#define A_H\n#endif\n") == 18
    assert guard_of(b"#define A_H\n") == -1
    assert guard_of(b"#ifndef A\n#define B\n#endif\n") == -1


def test_a_macro_before_an_include_may_configure_it() -> None:
    assert not configures_headers(b"#ifndef A_H\n#define A_H\n#include <a.h>\n#define B\n#endif\n")
    assert configures_headers(b"#define A\n#include <a.h>\n")
    assert configures_headers(b"#include <a.h>\n#undef A\n#include <b.h>\n")
    assert not configures_headers(b"#include <a.h>\n#define A\n")
