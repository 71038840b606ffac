"""Facts about a machine, read without importing torch: this one, or one described in words."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from attrs import field, frozen

from nanoplug.errors import ConfigError, nearest
from nanoplug.registry import nvidia
from nanoplug.registry.nvidia import Gpu
from nanoplug.registry.request import DEVICE_TYPES, FIELDS, tokens

_SM = re.compile(r"sm_(\d+)(\d)[a-z]?")
_KEYS = ("torch", "python", "platform", *FIELDS, *DEVICE_TYPES)


@frozen(kw_only=True)
class Machine:
    """What a backend's needs are judged against.

    platform: as `sys.platform`. gpus: NVIDIA GPUs, those that CUDA may see. devices: device types that are
    present, best first. absent: why each other type is not. given: distributions of a described machine.
    assumed: what a description left open, in words; empty for this machine.
    """

    python: str
    platform: str
    gpus: tuple[Gpu, ...] = ()
    devices: tuple[str, ...] = ("cpu",)
    absent: Mapping[str, str] = field(factory=dict)
    given: Mapping[str, str] = field(factory=dict)
    assumed: tuple[str, ...] = ()
    is_here: bool = True
    _found: dict[str, str | None] = field(factory=dict, eq=False, repr=False)

    @classmethod
    def here(cls) -> Machine:
        """This machine. Imports no torch and starts no driver context."""
        gpus, no_gpu = nvidia.visible_gpus()
        absent = {"cuda": no_gpu or _torch_without_cuda(), "xla": _no_xla(), "mps": _no_mps()}
        absent = {device: why for device, why in absent.items() if why}
        return cls(
            python=platform.python_version(),
            platform=sys.platform,
            gpus=gpus,
            devices=tuple(device for device in DEVICE_TYPES if device not in absent),
            absent=absent,
        )

    @classmethod
    def described(cls, text: str) -> Machine:
        """A machine from words such as `"sm_89,torch=2.11,python=3.12,platform=linux,dtype=bf16"`.

        `sm_NN`, `cuda`, `mps`, `xla` or `cpu` say what it has (a CPU is always there); `NAME=VERSION` that a
        distribution is installed. Keys of `Request` are left to `Request.described`. What is not said is taken
        from this machine, and a distribution that is not here either is taken as installed; `assumed` says so.
        Raises ConfigError for a word that is neither.
        """
        said: dict[str, str] = {}
        devices: dict[str, Gpu | None] = {}
        for key, value in tokens(text):
            capability = _SM.fullmatch(key)
            if value is None and capability:
                devices["cuda"] = Gpu(name=key, compute_capability=f"{capability[1]}.{capability[2]}")
            elif value is None and key in DEVICE_TYPES:
                devices.setdefault(key, None)
            elif value is None and key not in FIELDS:
                raise ConfigError(
                    f"{key!r} says nothing about a machine or a request{nearest(key, _KEYS)}.",
                    todo="Write words such as sm_89, cpu, torch=2.11, dtype=bf16, head_dim=128, window=1024, backward.",
                )
            elif value is not None and key not in FIELDS:
                said[key] = _checked(key, value)
        here = cls.here()
        if not devices:
            devices = {device: here.gpus[0] if device == "cuda" else None for device in here.devices}
            unsaid = [f"devices: {', '.join(here.devices)}, as here"]
        else:
            unsaid = []
        unsaid += [f"{key} {getattr(here, key)}, as here" for key in ("python", "platform") if key not in said]
        if "torch" not in said:
            torch = here.distribution("torch")
            unsaid.append(f"torch {torch}, as here" if torch else "torch is installed, in a version that fits")
        present = tuple(device for device in DEVICE_TYPES if device in devices or device == "cpu")
        gpu = devices.get("cuda") or (
            Gpu(name="a GPU not described", compute_capability="") if "cuda" in devices else None
        )
        return cls(
            python=said.pop("python", here.python),
            platform=said.pop("platform", here.platform),
            gpus=(gpu,) if gpu else (),
            devices=present,
            absent={device: "it is not in the description" for device in DEVICE_TYPES if device not in present},
            given={_normal(name): version for name, version in said.items()},
            assumed=tuple(unsaid),
            is_here=False,
        )

    def distribution(self, name: str) -> str | None:
        """Installed version, or None. On a described machine `"*"` stands for a version that fits."""
        key = _normal(name)
        if key in self.given:
            return self.given[key]
        if key not in self._found:
            try:
                self._found[key] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                self._found[key] = None
        return self._found[key] or (None if self.is_here else "*")

    def has_module(self, name: str) -> bool:
        """Whether a top-level module can be found; it is not imported. Always on a described machine."""
        return not self.is_here or found(name)

    @property
    def names(self) -> tuple[str, ...]:
        """Product names of its accelerators, or the processor's architecture."""
        return tuple(gpu.name for gpu in self.gpus) if "cuda" in self.devices else (platform.machine(),)


def found(module: str) -> bool:
    """Whether a top-level module can be found without importing anything."""
    try:
        return find_spec(module.partition(".")[0]) is not None
    except (ImportError, ValueError):
        return False


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _checked(key: str, value: str) -> str:
    # A distribution's name may resemble a key (torch_xla), a misspelt key resembles one closely.
    if key not in _KEYS and get_close_matches(key, _KEYS, cutoff=0.8):
        raise ConfigError(f"{key}={value} is unknown{nearest(key, _KEYS)}.", todo=f"Known keys: {', '.join(_KEYS)}.")
    if key != "platform" and not re.match(r"v?\d", value):
        raise ConfigError(
            f"{key}={value}: {value!r} is not a version.", todo=f"Write {key}=1.2.3, if {key} is a distribution."
        )
    return value


def _torch_without_cuda() -> str:
    """Why torch cannot use an NVIDIA GPU, read from the text of its `version.py`; empty if it can."""
    spec = find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return "torch is not installed"
    try:
        text = Path(next(iter(spec.submodule_search_locations)), "version.py").read_text(encoding="utf-8")
    except OSError:
        return ""  # an unusual build: left to the probe
    match = re.search(r"^cuda\b[^=\n]*=\s*(.+)$", text, re.MULTILINE)
    if match and match[1].strip() == "None":
        return "the installed torch is built without CUDA"
    return ""


def _no_xla() -> str:
    if not os.environ.get("PJRT_DEVICE"):
        return "PJRT_DEVICE is not set"
    return "" if found("torch_xla") else "torch_xla is not installed"


def _no_mps() -> str:
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return ""
    return "this is no Mac with Apple silicon"
