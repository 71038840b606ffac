"""A document of at most so many tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

from attrs import frozen

from nanoplug.corpus.document_text import Part, join_parts

CountTokens = Callable[[Sequence[str]], list[int]]


@frozen(kw_only=True)
class FittedText:
    """root: where the root lies in the text, in characters. kept: how many dependencies, from the first, are in it."""

    text: str
    root: tuple[int, int]
    tokens: int
    kept: int
    was_cut: bool = False


def fit_text(
    dependencies: Sequence[Part],
    sizes: Sequence[int],
    root: Part,
    *,
    preamble: Callable[[int], Sequence[Part]],
    budget: int,
    count: CountTokens,
    cut: bool,
) -> FittedText | None:
    """Preamble, dependencies and root as one text of at most `budget` tokens as `count` counts the whole of it.

    Dependencies are dropped from the last; then the preamble, from its last part; then, if `cut`, lines at the end of
    the root. None if no line of the root fits, or it may not be cut. sizes: tokens of each dependency alone, used to
    find the place to drop from without counting the whole text for each. preamble: the parts for that many
    dependencies.
    """

    def tried(kept: int) -> FittedText:
        return _joined([*preamble(kept), *dependencies[:kept], root], kept, count)

    whole = tried(len(dependencies))
    if whole.tokens <= budget:
        return whole
    excess = whole.tokens - budget
    kept = sum(1 for behind in accumulate(reversed(sizes)) if behind < excess)
    kept = max(0, len(dependencies) - kept - 1)
    fitted = tried(kept)
    while fitted.tokens > budget and kept:
        kept -= 1
        fitted = tried(kept)
    while fitted.tokens <= budget and kept < len(dependencies):
        more = tried(kept + 1)
        if more.tokens > budget:
            break
        fitted, kept = more, kept + 1
    if fitted.tokens <= budget:
        return fitted
    return _without_preamble(preamble(0), root, budget, count) or (_cut(root, budget, count) if cut else None)


def _joined(parts: Sequence[Part], kept: int, count: CountTokens, *, was_cut: bool = False) -> FittedText:
    text, root = join_parts(parts)
    (tokens,) = count([text])
    return FittedText(text=text, root=root, tokens=tokens, kept=kept, was_cut=was_cut)


def _without_preamble(preamble: Sequence[Part], root: Part, budget: int, count: CountTokens) -> FittedText | None:
    """As many parts of the preamble as fit, from the first; None if the root alone does not."""
    for number in range(len(preamble) - 1, -1, -1):
        fitted = _joined([*preamble[:number], root], 0, count)
        if fitted.tokens <= budget:
            return fitted
    fitted = _joined([root], 0, count)
    return fitted if fitted.tokens <= budget else None


def _cut(root: Part, budget: int, count: CountTokens) -> FittedText | None:
    """As many lines of the root as fit, without the namespaces around it, which it would leave open."""
    lines = root.text.splitlines(keepends=True)
    low, high = 0, len(lines)
    best: FittedText | None = None
    while low < high:
        middle = (low + high + 1) // 2
        fitted = _joined([Part((), "".join(lines[:middle]).rstrip("\n"))], 0, count, was_cut=True)
        if fitted.tokens <= budget:
            low, best = middle, fitted
        else:
            high = middle - 1
    return best
