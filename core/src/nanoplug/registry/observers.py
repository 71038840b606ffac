"""Tells observers of a run what happens. They cannot change it, and one that raises is heard no more."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from nanoplug.registry.catalogue import Catalogue, Plugin


def observers(catalogue: Catalogue) -> Callable[[Mapping[str, Any]], None]:
    """A function that gives an event to the `nanoplug_event` hook of each plugin, each alone and read-only."""
    listening: list[Plugin] = [plugin for plugin in catalogue.plugins if _listens(plugin)]

    def tell(event: Mapping[str, Any]) -> None:
        for plugin in tuple(listening):
            try:
                plugin.call("nanoplug_event", event=_frozen(event))
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # an observer may raise anything, SystemExit included
                listening.remove(plugin)
                print(
                    f"nanoplug: observer {plugin.name} of {plugin.distribution} is heard no more:"
                    f" {type(error).__name__}: {error}",
                    file=sys.stderr,
                )

    return tell


def _listens(plugin: Plugin) -> bool:
    return plugin.manager is not None and bool(plugin.manager.hook.nanoplug_event.get_hookimpls())


def _frozen(value: Any) -> Any:
    """Tables and lists that cannot be changed, all the way down."""
    if isinstance(value, Mapping):
        return MappingProxyType({key: _frozen(inner) for key, inner in value.items()})
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
