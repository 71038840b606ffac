"""The laws of each kind of backend, shipped so that anybody can hold a backend against them.

Inherit `AttentionLaws`, `KernelLaws`, `TokenizerLaws` or `DeviceLaws` in a test class, or run `nanoplug verify`.
Names are imported when they are used: importing this package imports nothing else.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nanoplug.conformance.kit import laws_for as laws_for
    from nanoplug.conformance.kit import subject_for as subject_for
    from nanoplug.conformance.law import Broken as Broken
    from nanoplug.conformance.law import Case as Case
    from nanoplug.conformance.law import Law as Law
    from nanoplug.conformance.law import Measured as Measured
    from nanoplug.conformance.law import Outcome as Outcome
    from nanoplug.conformance.law import Subject as Subject
    from nanoplug.conformance.law import Wrong as Wrong
    from nanoplug.conformance.law import survivors as survivors
    from nanoplug.conformance.law import verify as verify
    from nanoplug.conformance.pytest_class import AttentionLaws as AttentionLaws
    from nanoplug.conformance.pytest_class import DeviceLaws as DeviceLaws
    from nanoplug.conformance.pytest_class import KernelLaws as KernelLaws
    from nanoplug.conformance.pytest_class import TokenizerLaws as TokenizerLaws
    from nanoplug.conformance.targets import CheckedKernel as CheckedKernel
    from nanoplug.conformance.targets import check_targets as check_targets

_HOME = {
    **dict.fromkeys(("AttentionLaws", "DeviceLaws", "KernelLaws", "TokenizerLaws"), "pytest_class"),
    **dict.fromkeys(("Broken", "Case", "Law", "Measured", "Outcome", "Subject", "Wrong", "survivors", "verify"), "law"),
    **dict.fromkeys(("laws_for", "subject_for"), "kit"),
    **dict.fromkeys(("CheckedKernel", "check_targets"), "targets"),
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"nanoplug.conformance.{_HOME[name]}"), name)
    raise AttributeError(f"module 'nanoplug.conformance' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
