"""A kernel that is whole: the functions that a backend lacks are taken from the reference, and that is visible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nanoplug.errors import PluginError
from nanoplug.spec import KERNEL_OPS, KernelSpec


class KernelSet:
    """Serves `contracts.Kernel`. providers: for each function, the id of the backend that it comes from."""

    linear_cross_entropy: Any
    cross_entropy: Any
    rms_norm: Any
    rotary: Any

    def __init__(self, functions: Mapping[str, Any], providers: Mapping[str, str]) -> None:
        self.linear_cross_entropy = functions["linear_cross_entropy"]
        self.cross_entropy = functions["cross_entropy"]
        self.rms_norm = functions["rms_norm"]
        self.rotary = functions["rotary"]
        self.providers = dict(providers)

    def __repr__(self) -> str:
        return f"KernelSet({self.providers})"


def missing_ops(spec: KernelSpec) -> tuple[str, ...]:
    """Functions that `spec` lacks, in the order of the contract."""
    return tuple(op for op in KERNEL_OPS if op not in spec.ops)


def functions_of(backend: object, spec: KernelSpec, who: str) -> dict[str, Any]:
    """The functions that the spec names. Raises PluginError if the backend has not all of them."""
    absent = [op for op in KERNEL_OPS if op in spec.ops and not callable(getattr(backend, op, None))]
    if absent:
        raise PluginError(
            f"{who} declares {', '.join(absent)} but what it loads has no such function.",
            todo="This is a defect of the plugin; tell its author.",
        )
    return {op: getattr(backend, op) for op in KERNEL_OPS if op in spec.ops}
