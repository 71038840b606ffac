"""Finds manifests that import what only a chosen backend should import."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

# fmt: off
HEAVY = frozenset({
    "torch", "torch_xla", "triton", "jax", "jaxlib", "numpy", "scipy", "pandas", "pyarrow", "tensorflow",
    "transformers", "tokenizers", "tiktoken", "rustbpe", "safetensors", "clang", "cupy", "flash_attn",
    "liger_kernel", "cut_cross_entropy", "matplotlib",
})
# fmt: on


def heavy_imports(manifest: str, before: set[str]) -> list[str]:
    """Top-level names of heavy libraries that importing `manifest` brought in; `before` is `sys.modules` then.

    A library that was loaded earlier leaves no trace in `sys.modules`, so the names bound in the manifest, its
    packages and what it newly imported are looked at too.
    """
    new = {name for name in sys.modules if name not in before}
    heavy = {_top(name) for name in new} & HEAVY
    parents = {".".join(manifest.split(".")[:n]) for n in range(1, manifest.count(".") + 2)}
    for name in parents | {name for name in new if _top(name) == _top(manifest)}:
        heavy |= set(_bound(sys.modules.get(name))) & HEAVY
    return sorted(heavy)


def _bound(module: ModuleType | None) -> Iterator[str]:
    for value in list(vars(module).values()) if module else ():
        home = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(home, str):
            yield _top(home)


def _top(name: str) -> str:
    return name.partition(".")[0]
