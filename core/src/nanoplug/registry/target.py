"""A load target, `"module:object"`: found and fingerprinted without importing it, or imported and called."""

from __future__ import annotations

import ast
import hashlib
import importlib
import os
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_SUFFIXES = (*SOURCE_SUFFIXES, *EXTENSION_SUFFIXES, ".pyc")


def fault(target: str) -> str:
    """Why `target` cannot be loaded, as far as files tell without importing; empty if nothing speaks against it.

    The module's file must exist and, if it is Python source, bind the object at its top level. What only running
    the module could tell (`__getattr__`, a star import, an unusual importer) is left to the probe.
    """
    module, _, name = target.partition(":")
    top = _top_level(module)
    if top is None:
        return f"its load target {target!r} lies: there is no module {module.partition('.')[0]!r}"
    located = _locate(module, top)
    if located is None:
        return f"its load target {target!r} lies: there is no module {module!r}"
    if not isinstance(located, Path) or located.suffix not in SOURCE_SUFFIXES:
        return ""
    try:
        bound = _bound(ast.parse(located.read_bytes(), filename=str(located)))
    except (SyntaxError, ValueError) as error:
        return f"its module {module} does not parse: {error}"
    if bound & {"*", "__getattr__"} or name.partition(".")[0] in bound:
        return ""
    return f"its load target {target!r} lies: {module} has no {name.partition('.')[0]!r}"


def resolve_target(target: str) -> Any:
    """Import the module and give the object. Raises whatever the import raises."""
    module, _, name = target.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def files_sha256(target: str) -> str:
    """SHA-256 over names and contents of all files of the target's top-level package, caches left out.

    Works for any install that has files, editable ones too; empty if there are none to read.
    """
    top = _top_level(target.partition(":")[0])
    if top is None:
        return ""
    digest = hashlib.sha256()
    count = 0
    for root, path in sorted(_files(top), key=lambda pair: pair[1].relative_to(pair[0]).as_posix()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(root).as_posix()}\0{content}\n".encode())
        count += 1
    return digest.hexdigest() if count else ""


def _top_level(module: str) -> ModuleSpec | None:
    """The spec of the top-level package; finding it imports nothing, finding a submodule's would."""
    try:
        return find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        return None


def _locate(module: str, top: ModuleSpec) -> Path | bool | None:
    """The module's file, True if it is somewhere that files do not tell, None if it is nowhere."""
    parts = module.split(".")[1:]
    if top.submodule_search_locations is None:
        if parts:
            return None
        return Path(top.origin) if top.origin and os.path.isfile(top.origin) else True
    folders = [Path(location) for location in top.submodule_search_locations]
    if not any(folder.is_dir() for folder in folders):
        return True
    for index, part in enumerate(parts):
        packages = [folder / part for folder in folders if (folder / part).is_dir()]
        if index == len(parts) - 1:
            files = (folder / f"{part}{suffix}" for folder in folders for suffix in _SUFFIXES)
            regular = next((file for package in packages if (file := _init(package))), None)
            return regular or next((file for file in files if file.is_file()), None) or (True if packages else None)
        if not packages:
            return None
        folders = packages
    return next((file for folder in folders if (file := _init(folder))), True)


def _init(package: Path) -> Path | None:
    return next((file for suffix in _SUFFIXES if (file := package / f"__init__{suffix}").is_file()), None)


def _bound(tree: ast.Module) -> set[str]:
    """Names that the module binds at its top level, `if`, `try`, `with` and loops included; `*` for a star import."""
    names: set[str] = set()
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
            names.update(name for inner in ast.walk(node) if isinstance(inner, ast.Global) for name in inner.names)
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update(alias.asname or alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        pending.extend(ast.iter_child_nodes(node))
    return names


def _files(top: ModuleSpec) -> Iterator[tuple[Path, Path]]:
    """(root, file) of every file of a package, or of a single module."""
    if top.submodule_search_locations is None:
        if top.origin and os.path.isfile(top.origin):
            yield Path(top.origin).parent, Path(top.origin)
        return
    for location in top.submodule_search_locations:
        for folder, folders, files in os.walk(location):
            folders[:] = [name for name in folders if name != "__pycache__"]
            yield from ((Path(location), Path(folder, name)) for name in files if not name.endswith((".pyc", ".pyo")))
