"""Whether a spec's facts fit a machine and a request; every misfit with what would mend it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import frozen

from nanoplug.registry.machine import Machine
from nanoplug.registry.request import Request
from nanoplug.registry.versions import in_range, parse_requirement
from nanoplug.spec import AttentionSpec, DeviceSpec, KernelSpec, Needs, Spec, TokenizerSpec

_DEVICE_FIX = {
    "cuda": "needs an NVIDIA GPU, its driver and a CUDA build of torch",
    "xla": "needs torch_xla and PJRT_DEVICE",
    "mps": "needs a Mac with Apple silicon",
}


@frozen
class Reason:
    """Why a backend cannot serve, and what would mend it (empty if nothing here would)."""

    text: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.text} ({self.fix})" if self.fix else self.text


def judge(spec: Spec, machine: Machine, request: Request) -> tuple[Reason, ...]:
    """Every reason why `spec` cannot serve `request` on `machine`; empty if it can, as far as facts tell."""
    return (*judge_needs(spec, machine, request.device), *judge_request(spec, request))


def judge_needs(spec: Spec, machine: Machine, device: str | None = None) -> tuple[Reason, ...]:
    """The part about the machine. `device` is the device type to run on, or None for any that is present."""
    needs = spec.needs
    return (
        *_platform(needs, machine),
        *_distributions(needs, machine),
        *(
            Reason(f"needs the module {module}, which is not installed", f"install what provides {module}")
            for module in needs.modules
            if not machine.has_module(module)
        ),
        *_any_module(needs, machine),
        *_devices(spec, machine, device),
    )


def judge_request(spec: Spec, request: Request) -> tuple[Reason, ...]:
    """The part about the request: what the site asks for against what the spec declares."""
    if isinstance(spec, AttentionSpec):
        return tuple(_attention(spec, request))
    if isinstance(spec, KernelSpec):
        return tuple(_kernel(spec, request))
    if isinstance(spec, TokenizerSpec):
        return tuple(_tokenizer(spec, request))
    if isinstance(spec, DeviceSpec):
        return tuple(_dtype(spec.dtypes, request))
    return ()


def _platform(needs: Needs, machine: Machine) -> Iterator[Reason]:
    if needs.python and not in_range(machine.python, needs.python):
        yield Reason(f"needs Python {needs.python}, got {machine.python}", "use such a Python")
    if needs.platforms and machine.platform not in needs.platforms:
        yield Reason(f"needs platform {_either(needs.platforms)}, got {machine.platform}")


def _distributions(needs: Needs, machine: Machine) -> Iterator[Reason]:
    for requirement in needs.distributions:
        name, versions = parse_requirement(requirement)
        version = machine.distribution(name)
        if version is None:
            yield Reason(f"needs {name}{versions}, which is not installed", f"pip install '{name}{versions}'")
        elif version != "*" and not in_range(version, versions):
            yield Reason(f"needs {name}{versions}, got {version}", f"pip install '{name}{versions}'")


def _any_module(needs: Needs, machine: Machine) -> Iterator[Reason]:
    if needs.any_module and not any(machine.has_module(module) for module in needs.any_module):
        wanted = _either(needs.any_module)
        yield Reason(f"needs the module {wanted}, none of which is installed", "install what provides one of them")


def _devices(spec: Spec, machine: Machine, device: str | None) -> Iterator[Reason]:
    served = (spec.device_type,) if isinstance(spec, DeviceSpec) else spec.needs.devices
    if device is not None and device not in machine.devices:
        yield _no_device(device, machine)
    elif device is not None and served and device not in served:
        yield Reason(f"serves device {_either(served)}, not {device}", f"use device {_either(served)}")
    elif served and not any(name in machine.devices for name in served):
        yield from (_no_device(name, machine) for name in served)
    ranges = spec.needs.compute_capability
    on_cuda = device == "cuda" or (device is None and (not served or "cuda" in served))
    if ranges and on_cuda and "cuda" in machine.devices:
        gpu = machine.gpus[0]
        fits = gpu.compute_capability and any(in_range(gpu.compute_capability, one) for one in ranges)
        if not fits:
            wanted = _either([one.removeprefix("==") for one in ranges])
            got = f"{gpu.compute_capability} ({gpu.name})" if gpu.compute_capability else "one that is not known"
            yield Reason(f"needs compute capability {wanted}, got {got}", "use such a GPU")


def _no_device(device: str, machine: Machine) -> Reason:
    why = machine.absent.get(device, "it is not a device type that nanoplug knows")
    return Reason(f"needs device {device}: {why}", _DEVICE_FIX.get(device, "") if machine.is_here else "")


def _attention(spec: AttentionSpec, request: Request) -> Iterator[Reason]:
    yield from _dtype(spec.dtypes, request)
    if request.head_dim is not None and spec.head_dims is not None and request.head_dim not in spec.head_dims:
        yield Reason(f"head size {request.head_dim} is not served", f"it serves {_container(spec.head_dims)}")
    if request.window is not None and request.window >= 0 and not spec.window:
        yield Reason(f"serves no window, asked for {request.window}", "use a window pattern of L alone")
    if request.heads and request.kv_heads and request.heads != request.kv_heads and not spec.gqa:
        yield Reason(
            f"serves no grouped queries, asked for {request.heads} heads on {request.kv_heads}",
            "use as many key/value heads as heads",
        )
    if request.tokens is not None and spec.max_tokens is not None and request.tokens > spec.max_tokens:
        yield Reason(f"serves at most {spec.max_tokens:,} tokens, asked for {request.tokens:,}", "shorten the sequence")
    said = {
        "segments": "serves no document segments",
        "cache": "serves no KV cache, which generation needs",
        "backward": "has no backward, which training needs",
        "noncausal": "serves causal attention only",
        "deterministic": "is not deterministic",
    }
    yield from (Reason(text) for name, text in said.items() if getattr(request, name) and not getattr(spec, name))


def _kernel(spec: KernelSpec, request: Request) -> Iterator[Reason]:
    yield from _dtype(spec.dtypes, request)
    for op in sorted((request.ops or frozenset()) - spec.ops):
        yield Reason(f"has no {op} of its own", f"it has {', '.join(sorted(spec.ops))}")
    if request.reduction is not None and request.reduction not in spec.reductions:
        yield Reason(f"reduction {request.reduction!r} is not served", f"it serves {_either(sorted(spec.reductions))}")
    said = {
        "softcap": "serves no softcap",
        "backward": "has no backward, which training needs",
        "deterministic": "is not deterministic",
    }
    yield from (Reason(text) for name, text in said.items() if getattr(request, name) and not getattr(spec, name))


def _tokenizer(spec: TokenizerSpec, request: Request) -> Iterator[Reason]:
    for name in ("lossless", "trainable", "chat", "fim"):
        if getattr(request, name) and not getattr(spec, name):
            yield Reason(f"is not {name}" if name in ("lossless", "trainable") else f"has no tokens for {name}")
    if request.imports is not None and request.imports not in spec.imports:
        yield Reason(f"does not open {request.imports}", f"it opens {_either(spec.imports)}" if spec.imports else "")


def _dtype(served: frozenset[str], request: Request) -> Iterator[Reason]:
    if request.dtype is not None and request.dtype not in served:
        yield Reason(f"dtype {request.dtype} is not served", f"it serves {_either(sorted(served))}")


def _container(values: object) -> str:
    if isinstance(values, range):
        step = f" in steps of {values.step}" if values.step != 1 else ""
        return f"{values[0]} to {values[-1]}{step}" if len(values) else "none"
    return (
        _either(sorted(map(str, values), key=lambda text: (len(text), text)))
        if isinstance(values, Iterable)
        else "others"
    )


def _either(values: Iterable[str]) -> str:
    *most, last = values
    return f"{', '.join(most)} or {last}" if most else last
