"""nanoplug: trains, serves and evaluates small language models of C++ code; every hardware-bound part is a plugin.

`load(kind, name, **options)` gives a backend, `plugins(kind)` says what is installed.
Importing this imports nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nanoplug.registry.load import load as load
    from nanoplug.registry.load import plugins as plugins

    __version__: str

__all__ = ["__version__", "load", "plugins"]


def __getattr__(name: str) -> Any:
    if name in ("load", "plugins"):
        from nanoplug.registry import load as public

        return getattr(public, name)
    if name == "__version__":
        from importlib.metadata import version

        return version("nanoplug")
    raise AttributeError(f"module 'nanoplug' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
