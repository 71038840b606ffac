"""Finds plugins by their entry points. Each is loaded alone, so that a broken one harms only itself."""

from __future__ import annotations

import contextlib
import importlib.metadata
import re
import sys
import traceback
from collections import defaultdict
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import pluggy
from attrs import evolve, frozen

from nanoplug import hookspecs
from nanoplug.errors import nearest
from nanoplug.registry.catalogue import Catalogue, Entry, Plugin, Problem
from nanoplug.registry.heavy import heavy_imports
from nanoplug.registry.well_formed import api_problem, faults
from nanoplug.spec import ENTRY_POINT_GROUP, PROJECT, SPEC_OF_KIND

HOOKS = tuple(name for name in vars(hookspecs) if name.startswith(f"{PROJECT}_"))


@frozen
class _Found:
    """An entry point and where it comes from."""

    point: importlib.metadata.EntryPoint
    distribution: str
    version: str


def discover(path: Sequence[str] | None = None) -> Catalogue:
    """Every installed plugin, with what is wrong with each. `path` is searched instead of `sys.path`.

    Imports each manifest, and nothing that a manifest does not import. Raises nothing for a broken plugin.
    """
    plugins = [_load(found) if isinstance(found, _Found) else found for found in _entry_points(path)]
    plugins.sort(key=lambda plugin: plugin.id)  # the order of files in a folder is chance
    return Catalogue(plugins=tuple(_refuse_duplicates(plugins)))


def _entry_points(path: Sequence[str] | None) -> Iterator[_Found | Plugin]:
    """Read file by file: the metadata of a distribution that is no plugin of ours may be in any state."""
    seen: set[str] = set()
    distributions = importlib.metadata.distributions(path=list(sys.path if path is None else path))
    for distribution in distributions:
        try:
            text = distribution.read_text("entry_points.txt") or ""
        except (OSError, UnicodeDecodeError):
            continue
        if not re.search(rf"^\s*\[\s*{re.escape(ENTRY_POINT_GROUP)}\s*\]", text, re.MULTILINE):
            continue
        name, version = _identity(distribution)
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in seen:
            continue  # shadowed by the same distribution earlier on the path, as its modules are
        seen.add(key)
        try:
            points = [point for point in distribution.entry_points if point.group == ENTRY_POINT_GROUP]
        except Exception as error:  # importlib.metadata raises various types on a malformed file
            problem = Problem(text=f"its entry_points.txt does not parse: {_brief(error)}", cause=_whole(error))
            yield Plugin(name=name, target="", distribution=name, version=version, problems=(problem,))
            continue
        yield from (_Found(point, name, version) for point in points)


def _identity(distribution: importlib.metadata.Distribution) -> tuple[str, str]:
    try:
        metadata = distribution.metadata
        name, version = (next(iter(metadata.get_all(key) or ()), "") for key in ("Name", "Version"))
    except Exception:  # missing or unreadable METADATA: the plugin is still listed, under what is known
        name = version = ""
    return name or "(no name)", version or "(no version)"


def _load(found: _Found) -> Plugin:
    point = found.point
    plugin = Plugin(name=point.name, target=point.value, distribution=found.distribution, version=found.version)
    before = set(sys.modules)
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        # What a manifest prints must not get into the output of a command that prints JSON.
        with contextlib.redirect_stdout(sys.stderr):
            manifest = point.load()
            manager.register(manifest, name=point.name)
            manager.check_pending()
            _check_hooks(manifest, manager)
            entries, problems = _collect(plugin, manager)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a manifest may raise anything, SystemExit included
        if manager.has_plugin(point.name):
            manager.unregister(name=point.name)
        return evolve(plugin, problems=(Problem(text=_what_failed(point.value, error), cause=_whole(error)),))
    heavy = heavy_imports(point.module, before)
    if heavy:
        text = f"heavy: its manifest imports {', '.join(heavy)}, which every command then pays for"
        problems = (*problems, Problem(text=text, fatal=False))
    entries = tuple(evolve(entry, problems=(*entry.problems, *problems)) for entry in entries)
    return evolve(plugin, manager=manager, entries=entries, problems=problems)


def _check_hooks(manifest: Any, manager: pluggy.PluginManager) -> None:
    """Refuse what pluggy overlooks: a hook without its marker, and a manifest without hooks."""
    implemented = {caller.name for caller in manager.get_hookcallers(manifest) or ()}
    for name, value in vars(manifest).items() if isinstance(manifest, ModuleType) else ():
        own = callable(value) and getattr(value, "__module__", None) == manifest.__name__
        if own and name.startswith(f"{PROJECT}_") and name not in implemented:
            if name in HOOKS:
                raise TypeError(f"{name} is not marked with @hookimpl")
            raise TypeError(f"unknown hook {name!r}{nearest(name, HOOKS)}")
    if not implemented:
        raise TypeError(f"it implements no hook; known hooks: {', '.join(HOOKS)}")


def _collect(plugin: Plugin, manager: pluggy.PluginManager) -> tuple[tuple[Entry, ...], tuple[Problem, ...]]:
    entries: list[Entry] = []
    problems: list[Problem] = []
    for kind, cls in SPEC_OF_KIND.items():
        hook = f"{PROJECT}_{kind}"
        for result in getattr(manager.hook, hook)():
            if not isinstance(result, (list, tuple)):
                problems.append(Problem(text=f"{hook} must return a list of {cls.__name__}, got {result!r:.80}"))
                continue
            for spec in result:
                if type(spec) is not cls:
                    problems.append(Problem(text=f"{hook} must return {cls.__name__} values, got {spec!r:.80}"))
                    continue
                name: Any = spec.name
                if not isinstance(name, str):
                    problems.append(Problem(text=f"{hook} gives a backend whose name {name!r} is not text"))
                    continue
                wrong = (*api_problem(spec, plugin.distribution), *(Problem(text=text) for text in faults(spec)))
                entries.append(
                    Entry(spec=spec, distribution=plugin.distribution, version=plugin.version, problems=wrong)
                )
    return tuple(entries), tuple(problems)


def _refuse_duplicates(plugins: Sequence[Plugin]) -> Iterator[Plugin]:
    """Two usable backends of one kind and name: neither is taken by its bare name."""
    claims: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for plugin in plugins:
        for entry in plugin.entries:
            if not entry.faults():
                claims[entry.kind, entry.name].append(entry)
    for plugin in plugins:
        entries = []
        for entry in plugin.entries:
            rivals = claims.get((entry.kind, entry.name), [])
            if len(rivals) > 1 and entry in rivals:
                entry = evolve(entry, problems=(*entry.problems, _duplicate(entry, rivals)))
            entries.append(entry)
        yield evolve(plugin, entries=tuple(entries))


def _duplicate(entry: Entry, rivals: Sequence[Entry]) -> Problem:
    ids = sorted(rival.id for rival in rivals)
    distributions = sorted({f"{rival.distribution} {rival.version}" for rival in rivals})
    if len(distributions) == 1:
        return Problem(text=f"{distributions[0]} gives the name {entry.name!r} to {len(rivals)} backends")
    return Problem(
        duplicate=True,
        text=f"the name {entry.name!r} is claimed by {' and '.join(distributions)};"
        f" uninstall one, or pick one by {' or '.join(ids)}",
    )


def _what_failed(target: str, error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"its manifest {target} calls sys.exit({error.code!r})"
    unknown = (
        re.search(r"unknown hook '(\w+)'", str(error)) if isinstance(error, pluggy.PluginValidationError) else None
    )
    if unknown:
        return f"its manifest {target} has an unknown hook {unknown[1]!r}{nearest(unknown[1], HOOKS)}"
    return f"its manifest {target} failed: {_brief(error)}"


def _brief(error: BaseException) -> str:
    first_line = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__


def _whole(error: BaseException) -> str:
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))
