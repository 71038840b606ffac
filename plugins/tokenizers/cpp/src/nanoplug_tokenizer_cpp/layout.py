"""The fixed ids, all of them: 0 to 1599 of every vocabulary.

    0-19        special tokens                       150-179  single bytes
    20-109      keywords                             180-193  preprocessor directives
    110-117     special tokens of conversations      194-219  single bytes
    118-119     single bytes                         220-250  punctuation (single bytes too)
    120-149     operators                            251-319  single bytes
    320-472     names of the standard library        1520-1526  marks of diffs
    473-519     single bytes                         1527-1535  single bytes
    520-1519    the numbers 0 to 999                 1536-1537  one and two newlines
                                                     1538-1568  single bytes
                                                     1569-1599  reserved

They are the ids of nanoplug's older layout of 32,768 tokens, whose reserved ids hold the single bytes here: all 256 are
present, so that nothing is lost, and they take no id from the learned tokens, which begin at 1600. The older layout of
65,536 tokens fixed 4,800 ids; learned tokens compress better in the place of most of them.
"""

# ruff: noqa: SIM905 (a list of words is read and changed more easily as text)

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from itertools import chain, count

from attrs import frozen

from nanoplug_tokenizer_cpp.names import LIBRARY_NAMES

FIRST_LEARNED = 1600

SPECIAL = (
    *("PAD", "UNK", "BOS", "EOS", "FIM_PREFIX", "FIM_MIDDLE", "FIM_SUFFIX", "CODE_START", "CODE_END"),
    *("THOUGHT_START", "THOUGHT_END", "QUERY_TOOL", "INDEX", "DEBUG_CONTEXT", "FILE_SEP", "DIFF_START"),
    *("DIFF_END", "COMMENT_START", "COMMENT_END", "TOOL_RESULT"),
)
CHAT = (
    *("user_start", "user_end", "assistant_start", "assistant_end"),
    *("python_start", "python_end", "output_start", "output_end"),
)
FIRST_CHAT = 110
ALIASES: Mapping[str, str] = {
    "<|bos|>": "<BOS>",
    "<|endoftext|>": "<BOS>",
    "<|eos|>": "<EOS>",
    "<|pad|>": "<PAD>",
    "<|code_start|>": "<CODE_START>",
    "<|code_end|>": "<CODE_END>",
    "<|thought_start|>": "<THOUGHT_START>",
    "<|thought_end|>": "<THOUGHT_END>",
    "<|query_tool|>": "<QUERY_TOOL>",
    "<|tool_result|>": "<TOOL_RESULT>",
}
KEYWORDS = tuple(
    """auto const constexpr consteval constinit extern inline mutable register static thread_local volatile virtual
    explicit void bool char short int long float double signed unsigned wchar_t char8_t char16_t char32_t size_t struct
    class union enum typedef typename template concept requires namespace using if else switch case default for while do
    break continue return goto try catch throw noexcept new delete nullptr sizeof alignof alignas static_cast
    dynamic_cast const_cast reinterpret_cast public private protected friend true false this operator decltype typeid
    co_await co_return co_yield NULL restrict assert define include ifdef ifndef endif pragma elif undef""".split()
)
OPERATORS = tuple(
    ":: -> .* ->* == != <= >= <=> && || << >> ++ -- += -= *= /= %= &= |= ^= <<= >>= ... ## // /* */".split()
)
DIRECTIVES = tuple(
    "#include #define #ifdef #ifndef #endif #pragma #if #else #elif #undef #error #warning #line #import".split()
)
PUNCTUATION = tuple("{}()[]<>;:,.+-*/%&|^~!?=#@$_\\\"'")
DIFF_MARKS = ("@@", "diff", "---", "+++", "index", "a/", "b/")
NEWLINES = ("\n", "\n\n")
NUMBERS = tuple(map(str, range(1000)))
_FIRST_NAME = 320
_FIRST_NUMBER = 520
RANGES: Mapping[int, tuple[str, ...]] = {
    20: KEYWORDS,
    120: OPERATORS,
    180: DIRECTIVES,
    220: PUNCTUATION,
    _FIRST_NAME: LIBRARY_NAMES,
    _FIRST_NUMBER: NUMBERS,
    1520: DIFF_MARKS,
    1536: NEWLINES,
}
"""The first id of each range, and its words in order."""
_SYMBOLS = bytes(set(range(128)) - set(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"))


def _special() -> dict[str, int]:
    ids = {f"<{name}>": id for id, name in enumerate(SPECIAL)}
    ids |= {f"<|{name}|>": FIRST_CHAT + i for i, name in enumerate(CHAT)}
    return ids | {alias: ids[name] for alias, name in ALIASES.items()}


SPECIAL_IDS: Mapping[str, int] = _special()
"""Every name of every special token, aliases included."""


@frozen
class Layout:
    """tokens: the bytes of each fixed id; empty for special and reserved ones, which no text gives, and for open ones.

    whole_only: fixed words that stand for a whole lexeme and for no part of one: no merge gives them.
    open_ids: ids below `FIRST_LEARNED` for learned tokens.
    """

    tokens: tuple[bytes, ...]
    whole_only: frozenset[bytes]
    open_ids: tuple[int, ...]

    def learned_ids(self) -> Iterator[int]:
        """The ids of the learned tokens, in order, without end."""
        return chain(self.open_ids, count(FIRST_LEARNED))


def _layout(*, opened: Container[int]) -> Layout:
    """opened: first ids of ranges whose words of more than one character are not fixed."""
    texts: dict[int, bytes] = dict.fromkeys(SPECIAL_IDS.values(), b"")
    open_ids: list[int] = []
    for first, words in RANGES.items():
        for id, word in enumerate(words, first):
            if first in opened and len(word) > 1:
                open_ids.append(id)
            else:
                texts[id] = word.encode()
    taken = texts.keys() | set(open_ids)
    free = (id for id in range(FIRST_LEARNED) if id not in taken)
    singles = (bytes([byte]) for byte in range(256))
    texts |= {next(free): single for single in singles if single not in set(texts.values())}
    return Layout(
        tokens=tuple(texts.get(id, b"") for id in range(FIRST_LEARNED)),
        whole_only=frozenset(text for text in texts.values() if len(text) > 1 and text.translate(None, _SYMBOLS)),
        open_ids=tuple(open_ids),
    )


WORD_LAYOUT = _layout(opened=())
"""Without superwords: a piece of text is about a word, so every fixed word finds its piece."""

LINE_LAYOUT = _layout(opened=(_FIRST_NAME, _FIRST_NUMBER))
"""With superwords: a piece of text is up to a line, in which a name or a number is almost never alone. Their ids are
for learned tokens; numbers and names are learned like any text."""


def unspelled(id: int) -> str:
    """Name in `tokenizer.json` of an id that no text gives.

    It begins with a space, which byte-level pieces never hold, so no piece of text is equal to it.
    """
    names = [name for name, special in SPECIAL_IDS.items() if special == id]
    return f" {names[0]}" if names else f" <RESERVED_{id}>"
