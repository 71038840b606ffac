"""The one public way from Python to a backend by name, and to the list of what is installed."""

from __future__ import annotations

from typing import Any

from nanoplug.errors import PluginError, nearest
from nanoplug.registry.choice import Choice
from nanoplug.registry.discover import discover
from nanoplug.registry.machine import Machine
from nanoplug.registry.rows import Row, rows
from nanoplug.registry.select import resolve
from nanoplug.registry.verdicts import Verdicts
from nanoplug.spec import KINDS


def load(kind: str, name: str, **options: Any) -> Any:
    """The backend object of `kind` called `name`, or `"auto"`, made with `options`.

    A kernel has all four functions; `providers` says which backend each comes from. Raises PluginError with every
    reason if it cannot serve on this machine, and for an option that it does not have.
    """
    return resolve(discover(), Machine.here(), kind=kind, choice=Choice.parse(name), options=options).backend


def plugins(kind: str | None = None, *, probe: bool = True) -> list[Row]:
    """A row for each installed backend of `kind`, broken ones too. Imports no backend into this process.

    probe: backends never loaded before are loaded once in a child process, so that `ready` is known to be true.
    """
    if kind is not None and kind not in KINDS:
        raise PluginError(f"there is no kind {kind!r}{nearest(kind, KINDS)}.", todo=f"Kinds: {', '.join(KINDS)}.")
    return rows(discover(), Machine.here(), Verdicts(), kind=kind, may_probe=probe)
