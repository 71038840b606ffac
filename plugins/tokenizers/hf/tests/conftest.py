"""Small tokenizers of each family, made by the library on the spot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from nanoplug.conformance.tokenizer_texts import CPP, TEXTS, cpp_source

CORPUS = [CPP, *TEXTS.values(), cpp_source(1, 300), cpp_source(2, 300)]
BYTE_TOKENS = [f"<0x{byte:02X}>" for byte in range(256)]


def byte_level(*special: str, vocab_size: int = 600) -> Tokenizer:
    """As GPT-2 and its many heirs."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=list(special or ("<|endoftext|>",)),
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )
    return made


def prefixed(*special: str) -> Tokenizer:
    """As RoBERTa: a space in front, and added tokens that take the whitespace around them."""
    content = json.loads(byte_level(*special or ("<s>",)).to_str())
    content["pre_tokenizer"]["add_prefix_space"] = True
    flags = {"single_word": False, "lstrip": True, "rstrip": True, "normalized": True, "special": False}
    content["added_tokens"] += [{"id": 600, "content": "std::", **flags}, {"id": 601, "content": "a <", **flags}]
    return Tokenizer.from_str(json.dumps(content))


def composed(*special: str) -> Tokenizer:
    """As Qwen: byte-level behind a normaliser of Unicode."""
    made = byte_level(*special)
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{L}+|\p{N}|[^\s\p{L}\p{N}]+|\s+"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return made


def byte_fallback() -> Tokenizer:
    """As Llama 2: spaces as ▁, one put in front, single bytes where there is no other token."""
    made = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    made.train_from_iterator(
        [line for text in CORPUS for line in text.splitlines()],
        trainers.BpeTrainer(
            vocab_size=700,
            special_tokens=["<unk>", "<s>", "</s>", *BYTE_TOKENS],
            limit_alphabet=80,
            show_progress=False,
        ),
    )
    content = json.loads(made.to_str())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] not in BYTE_TOKENS]
    return Tokenizer.from_str(json.dumps(content))


def word_piece() -> Tokenizer:
    """As BERT: lower case, no accents, whitespace dropped."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.train_from_iterator(
        CORPUS,
        trainers.WordPieceTrainer(
            vocab_size=500, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"], show_progress=False
        ),
    )
    return made


def unigram() -> Tokenizer:
    """As T5: the most likely pieces, of which one spells a special token."""
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    made.train_from_iterator(
        CORPUS,
        trainers.UnigramTrainer(
            vocab_size=300, special_tokens=["<unk>", "<s>", "</s>"], unk_token="<unk>", show_progress=False
        ),
    )
    return made


def byte_unigram() -> Tokenizer:
    """As T5's heirs: most likely pieces, and single bytes where there is none."""
    content = json.loads(unigram().to_str())
    content["model"]["vocab"] += [[token, -50.0] for token in BYTE_TOKENS]
    content["model"]["byte_fallback"] = True
    content["decoder"] = json.loads(byte_fallback().to_str())["decoder"]
    return Tokenizer.from_str(json.dumps(content))


MAKERS: dict[str, Callable[..., Tokenizer]] = {
    "byte_level": byte_level,
    "prefixed": prefixed,
    "composed": composed,
    "byte_fallback": byte_fallback,
    "word_piece": word_piece,
    "unigram": unigram,
    "byte_unigram": byte_unigram,
}


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Path]:
    """`made("byte_level", "<s>", bos_token="<s>")` writes such a tokenizer's files and gives their folder."""

    def write(
        family: str, *special: str, change: Callable[[dict[str, Any]], None] | None = None, **config: Any
    ) -> Path:
        folder = tmp_path / "foreign"
        folder.mkdir(exist_ok=True)
        content = json.loads(MAKERS[family](*special).to_str())
        if change is not None:
            change(content)
        (folder / "tokenizer.json").write_text(json.dumps(content), "utf-8")
        if config:
            (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
        return folder

    return write
