"""Docstrings of this project explain a field or an argument on a line of its own, `name: what it is`.

In Markdown these lines would run together; for the reference they become the items of a list. A griffe extension.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_FIELD = re.compile(r"([a-z]\w*(?:(?:, | / )\w+)*): (.*)")


class FieldLists(griffe.Extension):
    """Rewrites every docstring that is read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = field_lists(obj.docstring.value)


def field_lists(docstring: str) -> str:
    """The docstring with each `name: text` at the beginning of a line made an item; its further lines follow it."""
    lines: list[str] = []
    in_list = False
    for line in docstring.splitlines():
        field = _FIELD.match(line)
        if field:
            if lines and lines[-1] and not in_list:
                lines.append("")
            lines.append(f"- `{field[1]}`: {field[2]}")
            in_list = True
        else:
            in_list = in_list and bool(line)
            # Deeper, it would be a block of code.
            lines.append(f"  {line.strip()}" if in_list else line)
    return "\n".join(lines)
