"""Whether what a run is about to train on is C++ at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from torch import Tensor

from nanoplug.contracts import Tokenizer
from nanoplug.data.loader import Batch

_ROWS, _TOKENS, _SEMICOLONS = 4, 512, 3


def cpp_rows(inputs_BT: Tensor, tokenizer: Tokenizer) -> tuple[int, int]:
    """How many of the first rows look like C++, and how many were looked at: 4, or all of fewer.

    A row does if its first 512 tokens decode to text with `#include` or `::` in it, or three semicolons.
    """
    texts = [tokenizer.decode(row[:_TOKENS].tolist()) for row in inputs_BT[:_ROWS]]
    return sum("#include" in text or "::" in text or text.count(";") >= _SEMICOLONS for text in texts), len(texts)


def warned_of_no_cpp(batches: Iterator[Batch], tokenizer: Tokenizer, tell: Callable[[str], None]) -> Iterator[Batch]:
    """The same batches; `tell` hears of it if the first holds no C++."""
    for first in batches:
        found, looked_at = cpp_rows(first.inputs_BT, tokenizer)
        if not found:
            tell(
                f"none of the first {looked_at} training row(s) looks like C++: no #include, no ::, fewer than"
                f" {_SEMICOLONS} semicolons. Check --data and --tokenizer-dir if C++ is what you mean to train on."
            )
        yield from chain([first], batches)
