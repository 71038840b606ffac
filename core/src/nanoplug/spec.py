"""What a plugin's manifest says about itself: facts only, so that nothing heavy is imported to judge them.

A manifest imports this module and plain Python, nothing else, and returns these values from its hooks.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import ClassVar

import pluggy
from attrs import field, frozen

API_VERSION = 1
PROJECT = "nanoplug"
ENTRY_POINT_GROUP = "nanoplug.plugins"
KINDS = ("attention", "kernel", "tokenizer", "device")
DTYPES = ("fp32", "bf16", "fp16")
MEMORY_OF_KIND = {"attention": ("linear", "chunk", "quadratic"), "kernel": ("logits", "chunk", "tile")}
KERNEL_OPS = ("linear_cross_entropy", "cross_entropy", "rms_norm", "rotary")

hookimpl = pluggy.HookimplMarker(PROJECT)


def _strings(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _names(value: str | Iterable[str]) -> frozenset[str]:
    return frozenset(_strings(value))


def _strings_by_name(value: Mapping[str, str | Iterable[str]]) -> Mapping[str, tuple[str, ...]]:
    return {name: _strings(strings) for name, strings in value.items()}


@frozen(kw_only=True)
class Needs:
    """What a backend requires of the machine. Every field is judged without importing the backend.

    distributions: installed distributions with version ranges, such as `"torch>=2.9,<3"`.
    python: version range of the interpreter, such as `">=3.10"`.
    platforms: values of `sys.platform`; empty means any.
    devices: device types of which one must be present (`cpu cuda mps xla`); empty means any.
    compute_capability: version ranges of which the CUDA device must meet one, such as
        `">=8.0"` or `("==9.0", "==12.1")`; empty means any. Judged only on `cuda`.
    modules: top-level modules that must be importable (found, not imported).
    any_module: top-level modules of which one must be importable; empty means none is needed.
    """

    distributions: tuple[str, ...] = field(default=(), converter=_strings)
    python: str = ""
    platforms: tuple[str, ...] = field(default=(), converter=_strings)
    devices: tuple[str, ...] = field(default=(), converter=_strings)
    compute_capability: tuple[str, ...] = field(default=(), converter=_strings)
    modules: tuple[str, ...] = field(default=(), converter=_strings)
    any_module: tuple[str, ...] = field(default=(), converter=_strings)


@frozen(kw_only=True)
class Spec:
    """What every kind of backend declares.

    name: unique within its kind. summary: one line for tables.
    api: range of hook API versions that the plugin speaks.
    load: `"module:object"`, imported only when chosen and called with the options as keyword arguments.
    options: an attrs class defined in the manifest; its fields are the legal options with their defaults.
    rank: order under `auto`, higher first; `rank_on` overrides it for a device type.
    load_limit_s: seconds that the first load may take in its child process.
    """

    kind: ClassVar[str] = ""

    name: str
    summary: str
    load: str
    api: str = ">=1,<2"
    needs: Needs = field(factory=Needs)
    options: type | None = None
    rank: int = 0
    rank_on: Mapping[str, int] = field(factory=dict)
    load_limit_s: float = 30.0


@frozen(kw_only=True)
class AttentionSpec(Spec):
    """An attention backend. The object that `load` gives serves `contracts.Attention`.

    dtypes: of q, k and v. head_dims: supported D, or None for any.
    window / gqa / segments / cache / backward / noncausal: whether the backend serves them.
    cached_gradients is never promised: the cached call is for inference.
    deterministic: same inputs give the same bits, backward included.
    compile_safe: no graph break under `torch.compile`.
    memory: extra memory of a training call, by class in T: `linear`, `chunk` (T x chunk) or `quadratic`.
    max_tokens: longest S that it serves, or None.
    launches: by device type, regular expressions that a training step must each find in the name of an operator or
        kernel that ran, for `train --audit`; without an entry for a device it cannot be audited there.
    """

    kind: ClassVar[str] = "attention"

    dtypes: frozenset[str] = field(default=frozenset({"fp32"}), converter=_names)
    head_dims: Container[int] | None = None
    window: bool = False
    gqa: bool = False
    segments: bool = False
    cache: bool = False
    backward: bool = False
    noncausal: bool = False
    deterministic: bool = False
    compile_safe: bool = False
    memory: str = "quadratic"
    max_tokens: int | None = None
    launches: Mapping[str, tuple[str, ...]] = field(factory=dict, converter=_strings_by_name)


@frozen(kw_only=True)
class KernelSpec(Spec):
    """A set of pure functions. The object that `load` gives has one method for each name in `ops`.

    ops: of `KERNEL_OPS`. reference: it has all of them and serves those that another kernel lacks.
    softcap, reductions, backward: of `linear_cross_entropy` and `cross_entropy`.
    memory: what `linear_cross_entropy` holds at once: `logits` (N x V), `chunk` (rows x V) or `tile`.
    launches: as of an attention backend, of `linear_cross_entropy`.
    """

    kind: ClassVar[str] = "kernel"

    ops: frozenset[str] = field(default=frozenset(), converter=_names)
    dtypes: frozenset[str] = field(default=frozenset({"fp32"}), converter=_names)
    softcap: bool = False
    reductions: frozenset[str] = field(default=frozenset({"mean"}), converter=_names)
    backward: bool = False
    deterministic: bool = False
    compile_safe: bool = False
    memory: str = "logits"
    reference: bool = False
    launches: Mapping[str, tuple[str, ...]] = field(factory=dict, converter=_strings_by_name)


@frozen(kw_only=True)
class TokenizerSpec(Spec):
    """A tokenizer family. The object that `load` gives serves `contracts.TokenizerFactory`.

    lossless: `decode_bytes(encode(x)) == x` for every byte string. chat / fim: whether its special
    tokens cover conversations and fill-in-the-middle. trainable: whether `train` is there.
    imports: names of files that others made and `load` opens, alone or in a folder, such as `tokenizer.json`.
    """

    kind: ClassVar[str] = "tokenizer"

    lossless: bool = False
    trainable: bool = False
    chat: bool = False
    fim: bool = False
    imports: tuple[str, ...] = field(default=(), converter=_strings)


@frozen(kw_only=True)
class DeviceSpec(Spec):
    """A device runtime. The object that `load` gives serves `contracts.Device`.

    device_type: the `torch.device` type it drives. dtypes: compute dtypes. compile: `torch.compile` is
    used there. processes: more than one process is served.
    """

    kind: ClassVar[str] = "device"

    device_type: str
    dtypes: frozenset[str] = field(default=frozenset({"fp32"}), converter=_names)
    compile: bool = False
    processes: bool = False


SPEC_OF_KIND: Mapping[str, type[Spec]] = {
    "attention": AttentionSpec,
    "kernel": KernelSpec,
    "tokenizer": TokenizerSpec,
    "device": DeviceSpec,
}
