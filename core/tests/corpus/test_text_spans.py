import pytest

from nanoplug.corpus.text_spans import comment_before, with_default, with_outer_templates, with_semicolon


def documented(text: str) -> str:
    """What precedes the `@` in `text` as its comment."""
    data = text.replace("@", "").encode()
    return data[comment_before(data, text.encode().index(b"@")) :].decode()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("int a;\n// one\n// two\n@f", "// one\n// two\nf"),
        ("/* one\n * two */\n@f", "/* one\n * two */\nf"),
        ("  /** a */\n  // b\n  @f", "/** a */\n  // b\n  f"),
        ("// far\n\n@f", "f"),
        ("int a;  // of a\n@f", "f"),
        ("int b; /* of b */\n@f", "f"),
        ("// c\nint a; @f", "f"),
        ("// c\r\n@f", "// c\r\nf"),
        ("\ufeff// c\n@f", "// c\nf"),
        ("  @f", "f"),
        ("@f", "f"),
    ],
)
def test_the_comment_directly_above_belongs_to_it(text: str, found: str) -> None:
    assert documented(text) == found


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("struct A {}; int b;", "struct A {};"),
        ("struct A {} /* c */ ;", "struct A {} /* c */ ;"),
        ("struct A {} a, *b; int c;", "struct A {} a, *b;"),
        ("struct A {} f() { x; }", "struct A {}"),
        ("struct A {}", "struct A {}"),
    ],
)
def test_the_semicolon_belongs_to_a_type(text: str, whole: str) -> None:
    data = text.encode()
    assert data[: with_semicolon(data, data.index(b"}") + 1)] == whole.encode()


def test_the_default_belongs_to_a_function() -> None:
    data = b"A::A()  =  default ; int b = 1;"
    assert data[: with_default(data, 0, 6)] == b"A::A()  =  default ;"
    assert with_default(b"A::A() {}", 0, 6) == 0


def test_the_template_headers_of_a_class_belong_to_its_member_template() -> None:
    data = b"int a = b > c;\ntemplate <class T, class U = X<int>>\ntemplate <class V> void A<T, U>::f(V) {}"
    assert with_outer_templates(data, data.rindex(b"template")) == data.index(b"template")
    assert with_outer_templates(data, data.index(b"template")) == data.index(b"template")
    assert with_outer_templates(b"x<y>\nint f() {}", 5) == 5
    assert with_outer_templates(b"template <class T> f", 0) == 0
