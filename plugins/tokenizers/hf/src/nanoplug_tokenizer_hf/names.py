"""Special tokens under the names that nanoplug asks for, whatever a model's authors called them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nanoplug.errors import DataError, nearest

BOS, EOS = "<|bos|>", "<EOS>"
BOS_NAMES = (
    BOS,
    "<BOS>",
    "<bos>",
    "<|begin_of_text|>",
    "<|startoftext|>",
    "<｜begin▁of▁sentence｜>",
    "<s>",
    "<|endoftext|>",
    "[CLS]",
)
EOS_NAMES = (EOS, "<eos>", "<|end_of_text|>", "<｜end▁of▁sentence｜>", "</s>", "<|endoftext|>", "<|eos|>", "[SEP]")
# In the order of nanoplug's names: before the gap, in the gap, behind the gap.
FIM = ("<FIM_PREFIX>", "<FIM_MIDDLE>", "<FIM_SUFFIX>")
CHAT = tuple(f"<|{who}_{end}|>" for who in ("user", "assistant", "python", "output") for end in ("start", "end"))
FIM_NAMES = (
    FIM,
    ("<fim_prefix>", "<fim_middle>", "<fim_suffix>"),
    ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"),
    ("<fim-prefix>", "<fim-middle>", "<fim-suffix>"),
    ("<PRE>", "<MID>", "<SUF>"),
    ("▁<PRE>", "▁<MID>", "▁<SUF>"),
    ("<｜fim▁begin｜>", "<｜fim▁end｜>", "<｜fim▁hole｜>"),
    ("[PREFIX]", "[MIDDLE]", "[SUFFIX]"),
)


def special_ids(content: Mapping[str, Any], stated: Mapping[str, str], *, bos: str) -> dict[str, int]:
    """Ids by name: the file's special tokens, then nanoplug's names for those that have another.

    content: of tokenizer.json. stated: `bos_token` and `eos_token` of the files beside it. bos: the option.
    Raises DataError if no token is known to lead documents.
    """
    added = {token["content"]: token["id"] for token in content["added_tokens"]}
    unknown = unknown_token(content)
    special = {
        token["content"]: token["id"]
        for token in content["added_tokens"]
        if token.get("special") and token["content"] != unknown
    }
    special[BOS] = _bos_id(added, special, stated, bos, content)
    eos = next((name for name in (stated.get("eos_token", ""), *EOS_NAMES) if name in added), None)
    if eos is not None:
        special[EOS] = added[eos]
    for names in FIM_NAMES:
        if all(name in added for name in names):
            special.update({ours: added[theirs] for ours, theirs in zip(FIM, names, strict=True)})
            break
    return special


def _bos_id(
    added: Mapping[str, int],
    special: Mapping[str, int],
    stated: Mapping[str, str],
    wish: str,
    content: Mapping[str, Any],
) -> int:
    if wish:
        id = added.get(wish, vocabulary(content).get(wish))
        if id is None:
            raise DataError(
                f"hf: there is no token {wish!r} to lead documents{nearest(wish, added)}.", todo=_choices(special)
            )
        return id
    named = stated.get("bos_token", "")
    for name in (named, *BOS_NAMES):
        if name in added:
            return added[name]
    said = (
        f"is stated to be {named!r}, which is no added token" if named else "is not stated, and none has a usual name"
    )
    raise DataError(f"hf: the token that leads documents {said}.", todo=_choices(special))


def _choices(special: Iterable[str]) -> str:
    names = sorted(special)
    if not names:
        return "Give one by --option bos=NAME; this tokenizer has no special token, so any of its tokens will do."
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"Give one by --option bos=NAME; its special tokens are {' '.join(names[:12])}{more}."


def unknown_token(content: Mapping[str, Any]) -> str | None:
    """The token that stands for text without a token of its own: it comes from text, so it is not special."""
    model = content["model"]
    if model.get("type") == "Unigram" or isinstance(model.get("unk_id"), int):
        index, vocab = model.get("unk_id"), model["vocab"]
        return vocab[index][0] if index is not None else None
    name: str | None = model.get("unk_token")
    return name


def vocabulary(content: Mapping[str, Any]) -> dict[str, int]:
    """Ids of the model's own tokens."""
    vocab: Mapping[str, int] | Sequence[Sequence[Any]] = content["model"]["vocab"]
    if isinstance(vocab, Mapping):
        return dict(vocab)
    return {piece[0]: id for id, piece in enumerate(vocab)}


def added(content: dict[str, Any], names: Iterable[str]) -> dict[str, int]:
    """Ids of `names`, which are special tokens behind all others from now on."""
    ids = [*vocabulary(content).values(), *(token["id"] for token in content["added_tokens"])]
    new = {name: id for id, name in enumerate(names, max(ids, default=-1) + 1)}
    content["added_tokens"] += [_special_token(name, id) for name, id in new.items()]
    return new


def kept_out_of_text(content: dict[str, Any], special: Mapping[str, int]) -> None:
    """Mark each special token as such in the file's content, so that text does not match it."""
    ids = set(special.values())
    for token in content["added_tokens"]:
        token["special"] = token["special"] or token["id"] in ids
    known = {token["id"] for token in content["added_tokens"]}
    own = vocabulary(content).items()
    content["added_tokens"] += [_special_token(name, id) for name, id in own if id in ids - known]


def _special_token(name: str, id: int) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": id, "content": name, **flags, "special": True}
