"""Where spaces go in text decoded from ids of the older layouts, whose encoding dropped all white space.

The rules are asked in order; the first that knows an answer decides whether a space stands before a piece.
"""

# ruff: noqa: SIM905 (a list of words is read and changed more easily as text)

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from nanoplug_tokenizer_cpp.common_words import COMMON_WORDS, TWO_LETTER_WORDS

_CONTAINERS = frozenset("array deque list map pair set tuple vector".split())
_BUILTIN = frozenset(
    "void bool char short int long float double signed unsigned wchar_t char8_t char16_t char32_t".split()
)
TYPE_WORDS = (
    _BUILTIN
    | _CONTAINERS
    | frozenset("auto size_t string unique_ptr shared_ptr weak_ptr any optional variant const".split())
)
TEMPLATE_TYPES = _CONTAINERS | frozenset(
    """queue stack multimap multiset unordered_map unordered_set unordered_multimap unordered_multiset function
    basic_string span mdspan expected template unique_ptr shared_ptr weak_ptr optional variant""".split()
)
_JOINED = frozenset(":: -> .* ->* ++ -- ## .".split())
_SPACED = frozenset("= + - * / % & | ^ ~ ! ? < > #".split())
_SUFFIX_CHARS = 6
_SHORT_SUFFIX_CHARS = 2
_SHORT_PIECE_CHARS = 4


@frozen
class Piece:
    """The text of one id. fixed: it is no learned one. special: it is a special token, whose text is not shown."""

    text: str
    fixed: bool
    special: bool = False


def joined(pieces: Iterable[Piece]) -> str:
    """The pieces as text, with the spaces that the rules put between them."""
    parts: list[str] = []
    before: Piece | None = None
    in_name = False
    for piece in pieces:
        if before is not None and not in_name_continues(in_name, piece) and space_between(before, piece):
            parts.append(" ")
        if not piece.special:
            parts.append(piece.text)
        in_name = _touches_underscore(before, piece) or in_name_continues(in_name, piece)
        before = piece
    return "".join(parts)


def in_name_continues(in_name: bool, piece: Piece) -> bool:
    """Whether a name that an underscore has joined goes on with `piece`."""
    return in_name and not piece.fixed and piece.text.isalpha()


def space_between(before: Piece, piece: Piece) -> bool:
    """Whether a space stands between two pieces that follow each other."""
    if _line_end(before) or _line_end(piece) or before.special or piece.special:
        return False
    if _touches_underscore(before, piece):
        return False
    if _goes_on_with_letters(before, piece):
        return False
    return _space_at_symbols(before, piece)


def _line_end(piece: Piece) -> bool:
    return not piece.text.strip("\n")


def _touches_underscore(before: Piece | None, piece: Piece) -> bool:
    if before is None:
        return False
    left, right = before.text, piece.text
    return (right == "_" and _wordy(left)) or (left == "_" and _wordy(right))


def _wordy(text: str) -> bool:
    return text == "_" or text.isalnum()


def _goes_on_with_letters(before: Piece, piece: Piece) -> bool:
    if before.text[-1:].isalpha() and is_suffix(before, piece):
        return True
    short = is_letters(before) and len(before.text) <= _SHORT_SUFFIX_CHARS and before.text not in TWO_LETTER_WORDS
    return short and not piece.fixed and piece.text.isalpha()


def is_letters(piece: Piece) -> bool:
    """Whether a piece is learned and of small letters only, so that it may be the ending of a word."""
    return not piece.fixed and piece.text.isascii() and piece.text.isalpha() and piece.text.islower()


def is_suffix(before: Piece, piece: Piece) -> bool:
    """Whether `piece` reads as the ending of the word that `before` begins."""
    if not is_letters(piece) or len(piece.text) > _SUFFIX_CHARS:
        return False
    if len(piece.text) > _SHORT_SUFFIX_CHARS:
        return piece.text not in COMMON_WORDS
    if len(piece.text) == _SHORT_SUFFIX_CHARS:
        return piece.text not in TWO_LETTER_WORDS
    if before.fixed:
        return piece.text in ("s", "d")
    return len(before.text) <= _SHORT_PIECE_CHARS


def _space_at_symbols(before: Piece, piece: Piece) -> bool:
    left, right = before.text, piece.text
    if left in _JOINED or right in _JOINED or left in ("(", "["):
        return False
    if right in (")", "]", ";", ",", "(", "["):
        return False
    if right == "{":
        return True
    if (right == "<" and left in TEMPLATE_TYPES) or (right == ">" and before.fixed) or (left == "<" and piece.fixed):
        return False
    if right in ("*", "&") and left in TYPE_WORDS:
        return False
    if _is_operator(before) or _is_operator(piece):
        return True
    return right != ":"


def _is_operator(piece: Piece) -> bool:
    if piece.text in _SPACED:
        return True
    return len(piece.text) > 1 and not any(char.isalnum() or char in "_\"' \n" for char in piece.text)
