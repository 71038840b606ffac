from __future__ import annotations

import pytest

from nanoplug.evaluation.cut import completion_end, cut, is_whole

HEAD = "int f() {\n"


@pytest.mark.parametrize(
    "body",
    [
        "  return 1;\n}",
        "  if (x) { y(); } else { z(); }\n}",
        '  puts("}"); puts("a\\"}{"); puts("\\\\");\n}',
        "  char c = '}', d = '\\'', e = '{', g = '\\\\';\n}",
        "  // don't } stop\n  g();\n}",
        "  // a continued \\\n } comment\n}",
        "  /* } don't */ g(); /* * } // */\n}",
        '  auto r = R"(}" } )"; auto s = u8R"x(} )" )x";\n}',
        "  int n = 1'000'000; int h = 0xFF'FF; double e = 1.5e-3;\n}",
        "  auto c = u8'}'; auto w = L'}'; auto s = L\"}\";\n}",
        "  int a1 = b'}';\n}",
        "  auto Rx = 1; FOOR(2); auto l = [] { return 1; }();\n}",
        "  return x;\n};",
    ],
)
def test_the_end_is_the_brace_that_closes_the_prompt(body: str) -> None:
    for rest in ("", "\n\nint g() { return 2; }\n", "\nint main() {"):
        assert cut(HEAD, body + rest) == body
    assert completion_end(HEAD, body + "\nint g() {}") == len(body)


@pytest.mark.parametrize("open_text", ["  return 1;\n", "  if (x) { }\n", '  R"(}', "  /* }", '  "}', "  // }", ""])
def test_what_is_not_closed_has_no_end_and_is_kept_whole(open_text: str) -> None:
    assert completion_end(HEAD, open_text) is None
    assert cut(HEAD, open_text) == open_text


def test_the_whole_prompt_counts() -> None:
    assert cut('const char* s = "{";\nint helper() { return 1; }\nint f() {', " g(); }\n}") == " g(); }"
    assert cut("namespace n {\nint f() {", " g(); }\n}\nint main() {}") == " g(); }\n}"
    assert cut("int f()", " { return 1; }\nint g() {}") == " { return 1; }"


def test_an_unterminated_literal_ends_with_its_line() -> None:
    assert cut(HEAD, '  puts("oops);\n}\nint x;') == '  puts("oops);\n}'


def test_a_brace_that_closes_nothing_is_left_out() -> None:
    assert cut("int x;\n", "int y;\n}\nint z;") == "int y;\n"


def test_whole_only_when_a_semicolon_can_no_longer_follow() -> None:
    assert not is_whole("class A {\n", "  int x;\n}")
    assert not is_whole("class A {\n", "  int x;\n}\n  ")
    assert is_whole("class A {\n", "  int x;\n};")
    assert is_whole(HEAD, "  return 1;\n}\n\nint")
    assert not is_whole(HEAD, "  return 1;\n")


def test_time_is_linear_in_hostile_text() -> None:
    for text in ("'" * 50_000, '"\\' * 50_000, "1'" * 50_000, 'R"' * 50_000, "{" * 50_000, "/" * 50_000):
        assert completion_end(HEAD, text) is None
