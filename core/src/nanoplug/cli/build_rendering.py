"""How the training documents of a run become tokens, as its configuration says."""

from __future__ import annotations

from pathlib import Path

from nanoplug.config import Config
from nanoplug.contracts import Tokenizer
from nanoplug.data.fim import FimRendering
from nanoplug.data.fim_pairs import read_pairs
from nanoplug.data.rendering import PlainRendering, Rendering


def build_rendering(config: Config, tokenizer: Tokenizer) -> Rendering:
    """A rendering for training; validation always reads documents plainly.

    Raises a NanoplugError if a middle is to be filled in and the tokenizer or the pairs are not fit for it.
    """
    data = config.data
    if not data.fim_rate and not data.fim_structured_rate:
        return PlainRendering(tokenizer)
    return FimRendering(
        tokenizer,
        fim_rate=data.fim_rate,
        spm_rate=data.fim_spm_rate,
        function_rate=data.fim_function_rate,
        structured_rate=data.fim_structured_rate,
        pairs=read_pairs(Path(data.fim_pairs)) if data.fim_structured_rate else None,
        seed=config.run.seed,
    )
