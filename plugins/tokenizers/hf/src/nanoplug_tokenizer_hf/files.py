"""The files of a Hugging Face tokenizer, and the one that nanoplug adds to them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from nanoplug import whole_files
from nanoplug.errors import DataError

TOKENIZER_NAME = "tokenizer.json"
ADDED_NAME = "hf.json"
FORMAT = "nanoplug-hf-1"
_NAMING = ("tokenizer_config.json", "special_tokens_map.json")
_TODO = "Name another folder, or fetch the tokenizer again."


@frozen(kw_only=True)
class Saved:
    """content: of tokenizer.json. special: ids by name. exact: no byte of text is lost."""

    content: dict[str, Any]
    special: dict[str, int]
    exact: bool

    @property
    def fingerprint(self) -> str:
        whole = {"tokenizer": self.content, "special": self.special, "exact": self.exact}
        return hashlib.sha256(json.dumps(whole, sort_keys=True, ensure_ascii=True).encode("ascii")).hexdigest()


def read_content(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The content of a tokenizer.json, and the token names that the files beside it state.

    path: the file, or the folder that holds it. Raises DataError if there is none, or it is damaged.
    """
    file = path / TOKENIZER_NAME if path.is_dir() else path
    content = _read_json(file)
    if content is None:
        raise DataError(
            f"{path} holds no {TOKENIZER_NAME}." if path.is_dir() else f"{path} is not there.",
            todo="A tokenizer in another format is turned into one by `AutoTokenizer.from_pretrained(FOLDER)"
            ".save_pretrained(NEW)` of the transformers library.",
        )
    model = content.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), (dict, list)):
        raise DataError(f"{file} is no {TOKENIZER_NAME} of the tokenizers library: it has no model.", todo=_TODO)
    content["added_tokens"] = content.get("added_tokens") or []
    stated: dict[str, str] = {}
    for name in _NAMING:
        beside = _read_json(file.parent / name) or {}
        for key in ("bos_token", "eos_token"):
            token = beside.get(key)
            token = token.get("content") if isinstance(token, dict) else token
            if isinstance(token, str):
                stated.setdefault(key, token)
    return content, stated


def read_saved(folder: Path) -> Saved | None:
    """What `write_saved` wrote into `folder`, or None if it did not. Raises DataError if it is damaged."""
    if not folder.is_dir():
        return None
    added = _read_json(folder / ADDED_NAME)
    if added is None:
        return None
    if added.get("format") != FORMAT:
        raise DataError(
            f"{folder / ADDED_NAME} has format {added.get('format')!r}; this version reads {FORMAT!r}.", todo=_TODO
        )
    content = _read_json(folder / TOKENIZER_NAME)
    if content is None:
        raise DataError(f"{folder} holds {ADDED_NAME}, but no {TOKENIZER_NAME}.", todo=_TODO)
    saved = Saved(content=content, special=added.get("special", {}), exact=added.get("exact", False))
    if saved.fingerprint != added.get("fingerprint"):
        raise DataError(
            f"{folder} is damaged: {TOKENIZER_NAME} and {ADDED_NAME} do not have the fingerprint that is stated.",
            todo=_TODO,
        )
    return saved


def write_saved(saved: Saved, folder: Path) -> None:
    """Write tokenizer.json, which the tokenizers library reads too, and hf.json into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    added = {"format": FORMAT, "fingerprint": saved.fingerprint, "exact": saved.exact, "special": saved.special}
    whole_files.write_text(
        folder / TOKENIZER_NAME, json.dumps(saved.content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    )
    whole_files.write_text(folder / ADDED_NAME, json.dumps(added, indent=1, ensure_ascii=False) + "\n")


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        content: Any = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", todo=_TODO) from error
    except (UnicodeDecodeError, ValueError) as error:
        raise DataError(f"{path} is damaged: {error}.", todo=_TODO) from error
    if not isinstance(content, Mapping):
        raise DataError(f"{path} is damaged: it holds {type(content).__name__}, not an object.", todo=_TODO)
    return dict(content)
