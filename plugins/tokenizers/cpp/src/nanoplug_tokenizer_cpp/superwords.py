"""Second stage of training: merges across words, within a line.

The first stage's tokens become single characters, so that a trainer of character-level BPE learns merges of tokens.
After B. Liu and others, "SuperBPE: Space Travel for Language Models" (2025).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from nanoplug_tokenizer_cpp.engines import Engine
from nanoplug_tokenizer_cpp.patterns import LINES, stretches

_SEPARATOR = "\x01"
_FIRST_CHAR = 0x100
_SURROGATES = range(0xD800, 0xE000)


def superwords(texts: Iterable[str], tokens: Mapping[int, bytes], whole_lines: Engine, count: int) -> list[bytes]:
    """Up to `count` superwords in the order in which they are learned.

    tokens: the bytes of each id that `whole_lines` gives; it merges any text as one piece.
    """
    pieces: Counter[str] = Counter()
    find = re.compile(LINES).findall
    for text in texts:
        for stretch in stretches(text):
            pieces.update(find(stretch))
    chars = {id: _char(id) for id in tokens}
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Split(_SEPARATOR, "removed")
    trainer = trainers.BpeTrainer(
        vocab_size=len(chars) + count, initial_alphabet=list(chars.values()), show_progress=False
    )
    trained.train_from_iterator(_as_chars(pieces, chars, whole_lines), trainer)
    by_char = {chars[id]: token for id, token in tokens.items()}
    learned = sorted((id, text) for text, id in trained.get_vocab().items() if len(text) > 1)
    return [b"".join(map(by_char.__getitem__, text)) for _, text in learned]


def _as_chars(pieces: Counter[str], chars: Mapping[int, str], whole_lines: Engine) -> Iterator[str]:
    for piece, times in pieces.items():
        ids = whole_lines.encode(piece)
        if len(ids) > 1:
            yield _SEPARATOR.join(["".join(map(chars.__getitem__, ids))] * times)


def _char(id: int) -> str:
    code = _FIRST_CHAR + id
    return chr(code if code < _SURROGATES.start else code + len(_SURROGATES))
