"""What a tokenizer.json does to text before it is split: leaving it out, and finding what is still lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nanoplug_tokenizer_hf.token_bytes import parts

PROBES = (
    "int main() { return x[i] + 0x1F; }\n",
    "a",
    " a",
    "  two  spaces  ",
    "\n",
    "\r\n\t\tx\r\n",
    "A CamelCase SHOUT",
    "café e\u0301 ﬁ ½ Å",
    "漢字 кириллица 🎉👩‍👩‍👧",
    "▁under▁ Ġa ##b <0x41> </w>",
    "\x00\x01\x1f\x7f\x85\xa0\u200b\u2028\ufeff",
    "it 's n't don't",
    "   \n \n\n\t \r\n  x  \n    ",
)


def space_mark(content: Mapping[str, Any]) -> str:
    """The character that stands for a space in tokens, or an empty string."""
    for part in parts(content.get("decoder")):
        if part["type"] == "Metaspace":
            return str(part["replacement"])
        if part["type"] == "Replace" and part["content"] == " " and "String" in part["pattern"]:
            return str(part["pattern"]["String"])
    return ""


def leave_text_alone(content: dict[str, Any]) -> None:
    """Drop from the file's content what changes text before it is split, as far as that can be dropped."""
    mark = space_mark(content)

    def marks_spaces(part: Mapping[str, Any]) -> bool:
        return part["type"] == "Replace" and (part["pattern"], part["content"]) == ({"String": " "}, mark)

    content["normalizer"] = _rebuilt(
        content.get("normalizer"), "normalizers", lambda part: marks_spaces(part) or part["type"] == "ByteLevel"
    )
    content["decoder"] = _rebuilt(content.get("decoder"), "decoders", lambda part: part["type"] != "Strip")
    for place in ("pre_tokenizer", "decoder"):
        for part in parts(content.get(place)):
            assert isinstance(part, dict)
            if part["type"] == "Metaspace":
                part["prepend_scheme"] = "never"
                part.pop("add_prefix_space", None)
            elif part["type"] == "ByteLevel":
                part["add_prefix_space"] = False
            elif part["type"] == "Split" and part["behavior"] == "Removed":
                part["behavior"] = "Isolated"
    for token in content["added_tokens"]:
        if not token.get("special"):
            token["lstrip"] = token["rstrip"] = token["normalized"] = False


def _rebuilt(
    component: Mapping[str, Any] | None, plural: str, keep: Callable[[Mapping[str, Any]], bool]
) -> dict[str, Any] | None:
    kept = [dict(part) for part in parts(component) if keep(part)]
    if not kept:
        return None
    return kept[0] if len(kept) == 1 else {"type": "Sequence", plural: kept}


def first_loss(encode: Callable[[str], list[int]], decode_bytes: Callable[[list[int]], bytes]) -> str:
    """Which probe does not come back as it was, in words; empty if all do."""
    for probe in PROBES:
        back = decode_bytes(encode(probe))
        if back != probe.encode("utf-8"):
            return f"{probe!a} comes back as {back.decode('utf-8', errors='replace')!a}"
    return ""
