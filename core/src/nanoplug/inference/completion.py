"""Text in, text out: completions of a prompt, stopped as soon as the caller has seen enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nanoplug.inference.detokenize import Detokenizer
from nanoplug.inference.engine import Engine


def complete_text(
    engine: Engine,
    prompt: str | Sequence[int],
    *,
    num_samples: int = 1,
    max_tokens: int | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: int = 42,
    is_whole: Callable[[str], bool] | None = None,
    on_text: Callable[[int, str], None] | None = None,
) -> list[str]:
    """The text that follows `prompt`, `num_samples` times, without special tokens. Arguments as in `Engine.generate`.

    prompt: a text that begins a document, or ids as they are to be read.
    is_whole: told the text of a row whenever it has grown; once true for a row, the row gets no more text, and
        generation stops when all rows are whole. on_text: told (row, new text) as soon as characters are complete.
    """
    texts = [""] * num_samples
    detokenizers = [Detokenizer(engine.tokenizer) for _ in texts]
    growing, whole = set(range(num_samples)), set[int]()

    def grow(row: int, new: str) -> None:
        if not new:
            return
        texts[row] += new
        if on_text is not None:
            on_text(row, new)
        if is_whole is not None and is_whole(texts[row]):
            whole.add(row)

    for tokens, sampled in engine.generate(
        engine.encode_prompt(prompt) if isinstance(prompt, str) else prompt,
        num_samples=num_samples,
        max_tokens=max_tokens,
        temperature=temperature,
        top_k=top_k,
        seed=seed,
    ):
        for row in sorted(growing):
            if sampled[row]:
                grow(row, detokenizers[row].push(tokens[row]))
            if not sampled[row] or row in whole:
                growing.discard(row)
        if not growing:
            break
    for row, detokenizer in enumerate(detokenizers):
        if row not in whole:
            grow(row, detokenizer.finish())
    return texts
