"""Texts that tokenizers are tried on: C++ as it is written, and bytes as they should not be."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence

_SYLLABLES = ("al", "be", "Count", "del", "ta", "vec", "tor", "Index", "oper", "size", "map", "Node", "k", "_", "is")
_TYPES = ("int", "const auto&", "std::vector<float>", "uint64_t", "std::unique_ptr<T>", "void*", "decltype(auto)")

CPP = """\
#pragma once
#include <vector>  // for std::vector
namespace a::b {
template <typename T, int N = 0x1F>
class Tensor final : public Base<T> {
 public:
\texplicit Tensor(std::vector<T>&& values) noexcept : values_(std::move(values)) {}
    auto operator<=>(const Tensor& other) const = default;
    [[nodiscard]] T at(size_t i) const { return values_[i] + 1'024 - 3.14e-5f; }
  /* it's "quoted", isn't it? \\n */
 private:
    std::vector<T> values_;   \t
};


#define MAX(a, b) \\
    ((a) > (b) ? (a) : (b))
const char* raw = R"(a \\ "b" )";
}  // namespace a::b
"""


def cpp_source(seed: int, lines: int) -> str:
    """Random C++-like declarations; the same for the same seed."""
    draw = random.Random(seed)

    def name() -> str:
        return "".join(draw.choices(_SYLLABLES, k=draw.randrange(1, 4)))

    def line() -> str:
        indent = "    " * draw.randrange(3)
        return f"{indent}{draw.choice(_TYPES)} {name()}_{draw.randrange(99)} = {name()}({draw.randrange(4000)});\n"

    return "".join(line() for _ in range(lines))


TEXTS: Mapping[str, str] = {
    "empty": "",
    "C++": CPP,
    "CRLF": CPP.replace("\n", "\r\n"),
    "lone CR": "a;\rb;\r\r",
    "tabs": "\tif (x)\n\t\treturn\t1;\n",
    "whitespace": "   \n \n\n\t \r\n  x  \n    ",
    "long whitespace": "{" + " " * 5000 + "}" + "\n" * 3000,
    "accents": "// naïve café, ångström\n",
    "many scripts": "// 漢字 кириллица עברית हिन्दी 🎉👩‍👩‍👧 \u200b\u00a0\u2028\ufeff\U0010ffff\n",
    "combining": "e\u0301 and \u00e9",
    "control characters": "".join(map(chr, range(32))) + "\x7f\x85",
    "numbers": "0 7 42 1024 0xFF 0b1010 1'000'000 3.14159e-10f ½ ²",
}

BYTES: Mapping[str, bytes] = {
    "all bytes": bytes(range(256)),
    "invalid UTF-8": b"caf\xe9 \xff\xfe \xc3( \xe2\x82 x \xf0\x9f\x8e \xed\xa0\x80 \xc0\xaf\n"
    + CPP.encode()[:99]
    + b"\x80",
    "cut character": "é漢🎉".encode()[:-1],
    "random bytes": random.Random(20).randbytes(4096),
    "NUL bytes": b"int\x00x\x00\x00;",
}


_CHARACTERS = (
    "aZ_09",
    " \t\n\r",
    "(){}[]<>;:,.#&|=+-*/%\"'\\",
    "éßÅ½",
    "漢字あ",
    "\u0301\u200d\ufeff\u2028",
    "🎉👩\U0010ffff",
    "\x00\x7f\x85",
)


def random_strings(seed: int, count: int, spelled: Sequence[str] = ()) -> Iterator[bytes]:
    """Short byte strings that are hard on tokenizers, the same for the same seed: bytes at random, characters of many
    scripts, runs, cuts of C++, and spellings of `spelled` (names of special tokens) among all of these.
    """
    draw = random.Random(seed)
    code = cpp_source(seed, 200).encode() + CPP.encode()

    def characters() -> bytes:
        return "".join(draw.choice(draw.choice(_CHARACTERS)) for _ in range(draw.randrange(24))).encode()

    def cut() -> bytes:
        start = draw.randrange(len(code))
        return code[start : start + draw.randrange(60)]

    kinds: list[Callable[[], bytes]] = [
        lambda: draw.randbytes(draw.randrange(24)),
        characters,
        lambda: draw.choice(draw.choice(_CHARACTERS)).encode() * draw.randrange(40),
        cut,
        lambda: characters().replace(b" ", b"\r\n")[draw.randrange(3) :],
    ]
    for _ in range(count):
        parts = [draw.choice(kinds)() for _ in range(draw.randrange(1, 4))]
        if spelled and draw.random() < 0.1:
            parts.insert(draw.randrange(len(parts) + 1), draw.choice(spelled).encode("utf-8"))
        yield b"".join(parts)
