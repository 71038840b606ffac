"""What was found installed: plugins, the backends that they offer, and what is wrong with each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pluggy
from attrs import field, frozen

from nanoplug.spec import Spec


@frozen(kw_only=True)
class Problem:
    """What is wrong: one sentence, and the whole cause where there is one.

    fatal: the installation is wrong and the backend is not used; otherwise it is used and the problem reported.
    duplicate: the problem is that the bare name is claimed twice; `distribution:name` still picks the backend.
    """

    text: str
    cause: str = ""
    fatal: bool = True
    duplicate: bool = False


@frozen(kw_only=True, eq=False)
class Entry:
    """One backend of one plugin. `id` is `distribution:name`."""

    spec: Spec
    distribution: str
    version: str
    problems: tuple[Problem, ...] = ()

    @property
    def kind(self) -> str:
        return self.spec.kind

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def id(self) -> str:
        return f"{self.distribution}:{self.name}"

    def faults(self, *, by_id: bool = False) -> tuple[Problem, ...]:
        """Problems for which it is not used, when asked for by its bare name or by `distribution:name`."""
        return tuple(one for one in self.problems if one.fatal and not (by_id and one.duplicate))

    def answers_to(self, name: str) -> bool:
        return name in (self.name, self.id)


@frozen(kw_only=True, eq=False)
class Plugin:
    """One entry point. manager: holds its manifest and nothing else; None if the manifest could not be used."""

    name: str
    target: str
    distribution: str
    version: str
    manager: pluggy.PluginManager | None = None
    entries: tuple[Entry, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def id(self) -> str:
        return f"{self.distribution}:{self.name}"

    def call(self, hook: str, **arguments: Any) -> list[Any]:
        """What its implementations of `hook` return; empty if it has none or could not be used."""
        if self.manager is None:
            return []
        results: list[Any] = getattr(self.manager.hook, hook)(**arguments)
        return results


@frozen(kw_only=True, eq=False)
class Catalogue:
    plugins: tuple[Plugin, ...] = field(default=())

    def entries(self, kind: str | None = None) -> Iterator[Entry]:
        """Backends in order of kind and name, broken ones too."""
        found = (entry for plugin in self.plugins for entry in plugin.entries)
        yield from sorted(
            (entry for entry in found if kind in (None, entry.kind)), key=lambda e: (e.kind, e.name, e.distribution)
        )

    def failed(self) -> Iterator[Plugin]:
        """Plugins of which nothing can be said but what is wrong: they gave no spec."""
        return (plugin for plugin in self.plugins if not plugin.entries and plugin.problems)

    def named(self, kind: str, name: str) -> tuple[Entry, ...]:
        """Backends of `kind` that answer to `name`, bare or with the distribution."""
        return tuple(entry for entry in self.entries(kind) if entry.answers_to(name))
