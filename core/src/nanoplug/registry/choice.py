"""How a site's backend is chosen: by name, automatically, with preferences, with exclusions."""

from __future__ import annotations

from attrs import frozen

from nanoplug.errors import ConfigError


@frozen
class Choice:
    """A name (`"sdpa"` or `"distribution:sdpa"`) means require. Without one, `prefer` comes first, in its order,
    then the rest by rank; `forbid` is never taken.
    """

    name: str | None = None
    prefer: tuple[str, ...] = ()
    forbid: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Choice:
        """From `auto`, a name, `prefer=a,b`, `forbid=c`, or both joined by `;`. Raises ConfigError otherwise."""
        text = text.strip()
        if text == "auto":
            return cls()
        if "=" not in text and ";" not in text and "," not in text and text and not text.isspace():
            return cls(name=text)
        lists: dict[str, tuple[str, ...]] = {}
        for part in text.split(";"):
            key, _, values = part.partition("=")
            key, names = key.strip(), tuple(filter(None, (name.strip() for name in values.split(","))))
            if key not in ("prefer", "forbid") or key in lists or not names:
                raise ConfigError(
                    f"choice {text!r} does not parse.",
                    todo="Use auto, a name, DISTRIBUTION:NAME, prefer=A,B, forbid=C, or prefer=A;forbid=B.",
                )
            lists[key] = names
        both = set(lists.get("prefer", ())) & set(lists.get("forbid", ()))
        if both:
            raise ConfigError(f"choice {text!r} both prefers and forbids {', '.join(sorted(both))}.")
        return cls(prefer=lists.get("prefer", ()), forbid=lists.get("forbid", ()))

    def __str__(self) -> str:
        if self.name is not None:
            return self.name
        lists = {"prefer": self.prefer, "forbid": self.forbid}
        return ";".join(f"{key}={','.join(names)}" for key, names in lists.items() if names) or "auto"
