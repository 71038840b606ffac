"""The projects that a command is to work on, by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nanoplug.corpus.printable import printable
from nanoplug.errors import ConfigError, DataError


def find_projects(one: Path | None, listed: Path | None, folder: Path | None) -> dict[str, Path]:
    """Roots by project name, in the order given; sub-folders of `folder` sorted by name, hidden ones left out.

    Exactly one of the three must be given. A name is the folder's, with as many folders above as tell projects apart.
    A path that is listed need not exist: that project fails alone.
    """
    if sum(given is not None for given in (one, listed, folder)) != 1:
        raise ConfigError("give exactly one of --project-dir, --projects-list and --projects-dir.")
    if one is not None:
        roots = [one]
        if not one.is_dir():
            raise DataError(f"{one} is not a folder.", todo="Name the folder of a project.")
    elif listed is not None:
        roots = _listed(listed)
    else:
        assert folder is not None
        roots = _inside(folder)
    return _named([root.resolve() for root in roots])


def _listed(path: Path) -> list[Path]:
    """Paths of a list, relative ones from the current folder; empty lines and those after `#` do not count."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the list {path} cannot be read: {error}.", todo="Name a text file of paths.") from error
    roots = [Path(line.strip()).expanduser() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not roots:
        raise DataError(f"{path} lists no project.", todo="Write one path a line.")
    return roots


def _inside(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder.", todo="Name a folder that holds projects.")
    roots = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not roots:
        raise DataError(f"{folder} has no sub-folder.", todo="Name one project by --project-dir.")
    return roots


def _named(roots: Sequence[Path]) -> dict[str, Path]:
    unique = list(dict.fromkeys(roots))
    for parts in range(1, max(len(root.parts) for root in unique) + 1):
        names = ["/".join(root.parts[-parts:]) for root in unique]
        if len(set(names)) == len(unique):
            break
    return dict(zip(map(printable, names), unique, strict=True))
