"""Opens Hugging Face tokenizers, saved by nanoplug or by anybody."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from nanoplug.errors import ContractError, DataError
from nanoplug_tokenizer_hf.exact import leave_text_alone
from nanoplug_tokenizer_hf.files import Saved, read_content, read_saved
from nanoplug_tokenizer_hf.names import CHAT, EOS, FIM, added, kept_out_of_text, special_ids
from nanoplug_tokenizer_hf.tokenizer import HfTokenizer


class HfFactory:
    """Serves `nanoplug.contracts.TokenizerFactory`. bos, exact, chat, fim: see `manifest.HfOptions`."""

    def __init__(self, *, bos: str = "", exact: bool = False, chat: bool = False, fim: bool = False) -> None:
        self._bos, self._exact = bos, exact
        self._chat, self._fim = chat, fim

    def train(self, texts: Iterable[str], *, vocab_size: int) -> HfTokenizer:
        raise ContractError(
            "hf: opens tokenizers and trains none.", todo="Train with another family; `nanoplug plugins list` has them."
        )

    def load(self, folder: Path) -> HfTokenizer:
        """The tokenizer saved in `folder`, or a foreign one: a tokenizer.json, or a folder that holds one.

        Raises DataError if there is none, if it is damaged, if no token is known to lead documents, and with
        `exact` if text would still be lost.
        """
        saved = read_saved(folder)
        if saved is not None:
            return HfTokenizer(saved)
        content, stated = read_content(folder)
        special = special_ids(content, stated, bos=self._bos)
        lacking = [*(CHAT if self._chat else ()), *((*FIM, EOS) if self._fim else ())]
        special |= added(content, [name for name in lacking if name not in special])
        kept_out_of_text(content, special)
        # Parts that would cut, fill up, add to or randomly change what is encoded.
        content["truncation"] = content["padding"] = content["post_processor"] = None
        if content["model"].get("dropout"):
            content["model"]["dropout"] = None
        if self._exact:
            leave_text_alone(content)
        tokenizer = HfTokenizer(Saved(content=content, special=special, exact=self._exact))
        if self._exact and tokenizer.losses:
            raise DataError(
                f"hf: {folder} cannot be made exact: {tokenizer.losses}.",
                todo="Import it without exact=true, and do not measure bits per byte with it; or use another one.",
            )
        return tokenizer
