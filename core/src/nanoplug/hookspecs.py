"""The hooks that a manifest may implement. Misspelt hooks are found and reported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pluggy

from nanoplug.spec import PROJECT, AttentionSpec, DeviceSpec, KernelSpec, TokenizerSpec

if TYPE_CHECKING:
    import click

hookspec = pluggy.HookspecMarker(PROJECT)


@hookspec
def nanoplug_attention() -> list[AttentionSpec]:  # type: ignore[empty-body]
    """Attention backends of this distribution."""


@hookspec
def nanoplug_kernel() -> list[KernelSpec]:  # type: ignore[empty-body]
    """Loss and op kernels of this distribution."""


@hookspec
def nanoplug_tokenizer() -> list[TokenizerSpec]:  # type: ignore[empty-body]
    """Tokenizer families of this distribution."""


@hookspec
def nanoplug_device() -> list[DeviceSpec]:  # type: ignore[empty-body]
    """Device runtimes of this distribution."""


@hookspec
def nanoplug_commands(group: click.Group) -> None:
    """Add commands with `group.add_command`. A name that is taken is refused and reported."""


@hookspec
def nanoplug_event(event: Mapping[str, Any]) -> None:
    """Observe a run. `event["event"]` is `run_start`, `step`, `eval`, `sample`, `cpp`, `checkpoint` or `run_end`.

    Those between the first and the last are the rows of `metrics.jsonl`. `run_start` has `step` (0, or that of the
    checkpoint gone on from), `steps`, `receipt_sha256` and `config`; `run_end` has `steps`, `receipt_sha256`,
    `summary` (as in `summary.json`, or None) and `error` (None, or what ended the run before its end).
    The mapping is read-only; an observer that raises is reported once and heard no more.
    """
