"""What can be wrong with a spec in itself, before any machine is looked at."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterator
from typing import Any

import attrs

from nanoplug.registry.catalogue import Problem
from nanoplug.registry.request import DEVICE_TYPES
from nanoplug.registry.versions import in_range, parse_range, parse_requirement
from nanoplug.spec import API_VERSION, DTYPES, KERNEL_OPS, MEMORY_OF_KIND, KernelSpec, Needs, Spec


def api_problem(spec: Spec, distribution: str) -> tuple[Problem, ...]:
    """The problem that `spec` speaks another hook API, if it does."""
    try:
        fits = in_range(str(API_VERSION), spec.api)
    except (ValueError, AttributeError, TypeError) as error:
        return (Problem(text=f"api {spec.api!r} is not a version range: {error}"),)
    if fits:
        return ()
    text = f"speaks hook API {spec.api}, this nanoplug speaks {API_VERSION}"
    return (Problem(text=f"{text}; install versions of nanoplug and {distribution} that fit each other"),)


def faults(spec: Any) -> Iterator[str]:
    """What makes a spec unusable, in words. Its fields may hold anything: specs do not check themselves."""
    name = spec.name
    if not name or any(mark in name for mark in ":=,; \t\n"):
        yield f"name {name!r} must be text without ':', '=', ',', ';' or blanks"
    elif name in ("auto", "prefer", "forbid"):
        yield f"name {name!r} has a meaning of its own"
    module, _, attribute = spec.load.partition(":") if isinstance(spec.load, str) else ("", "", "")
    if not all(part.isidentifier() for part in (*module.split("."), *attribute.split("."))):
        yield f"load {spec.load!r} must be 'module:object'"
    for rank in (spec.rank, *dict(spec.rank_on).values()):
        if not isinstance(rank, int):
            yield f"rank {rank!r} must be a whole number"
    if not isinstance(spec.load_limit_s, (int, float)) or not spec.load_limit_s > 0:
        yield f"load_limit_s {spec.load_limit_s!r} must be a positive number of seconds"
    yield from _needs(spec.needs)
    yield from _options(spec.options)
    for dtype in sorted(map(str, set(getattr(spec, "dtypes", ())) - set(DTYPES))):
        yield f"dtype {dtype!r} is unknown; use {', '.join(DTYPES)}"
    head_dims = getattr(spec, "head_dims", None)
    if head_dims is not None and not isinstance(head_dims, Container):
        yield f"head_dims {head_dims!r} must be a container of numbers, or None"
    yield from _launches(getattr(spec, "launches", {}))
    memory = getattr(spec, "memory", None)
    if memory is not None and memory not in MEMORY_OF_KIND[spec.kind]:
        yield f"memory {memory!r} is unknown; use {', '.join(MEMORY_OF_KIND[spec.kind])}"
    if isinstance(spec, KernelSpec):
        for op in sorted(map(str, spec.ops - set(KERNEL_OPS))):
            yield f"op {op!r} is unknown; use {', '.join(KERNEL_OPS)}"
        if spec.reference and spec.ops != set(KERNEL_OPS):
            yield f"reference=True needs all of {', '.join(KERNEL_OPS)}"


def _needs(needs: Any) -> Iterator[str]:
    if not isinstance(needs, Needs):
        yield f"needs must be a Needs value, got {needs!r:.80}"
        return
    names: tuple[Any, ...] = (*needs.platforms, *needs.devices, *needs.modules, *needs.any_module)
    for text in names:
        if not isinstance(text, str):
            yield f"needs: {text!r} must be text"
    for check, texts in (
        (parse_requirement, needs.distributions),
        (parse_range, (needs.python, *needs.compute_capability)),
    ):
        for text in texts:
            try:
                check(text)
            except (ValueError, TypeError) as error:
                yield f"needs: {error}"


def _launches(launches: Any) -> Iterator[str]:
    for device, patterns in launches.items():
        if device not in DEVICE_TYPES:
            yield f"launches: device {device!r} is unknown; use {', '.join(DEVICE_TYPES)}"
        for pattern in patterns:
            try:
                re.compile(pattern)
            except (re.error, TypeError) as error:
                yield f"launches: {pattern!r} is no regular expression: {error}"


def _options(options: Any) -> Iterator[str]:
    if options is None:
        return
    if not isinstance(options, type) or not attrs.has(options):
        yield f"options must be an attrs class, got {options!r:.80}"
        return
    try:
        json.dumps(attrs.asdict(options()))  # the receipt holds them
    except Exception as error:  # a class of somebody else's, which may raise anything
        yield f"options {options.__name__} must have defaults of plain values: {error}"
