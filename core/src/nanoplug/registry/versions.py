"""Versions and ranges of them by PEP 440, small enough for the light part."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

_VERSION = re.compile(
    r"v?(?:(?P<epoch>\d+)!)?(?P<release>\d+(?:\.\d+)*)"
    r"(?:[-_.]?(?P<pre>alpha|beta|preview|pre|rc|a|b|c)[-_.]?(?P<pre_n>\d*))?"
    r"(?P<post>-(?P<post_bare>\d+)|[-_.]?(?:post|rev|r)[-_.]?(?P<post_n>\d*))?"
    r"(?P<dev>[-_.]?dev[-_.]?(?P<dev_n>\d*))?"
    r"(?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"\s*(~=|==|!=|<=|>=|<|>)\s*(\S+?)(\.\*)?\s*")
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[[^\]]*\])?\s*\(?([^;()]*)\)?\s*")
_PRE_ORDER = {"a": 0, "alpha": 0, "b": 1, "beta": 1, "c": 2, "rc": 2, "pre": 2, "preview": 2}
_FIRST, _LAST = -1, 1 << 62

Local = tuple[tuple[int, str], ...]


class Version(NamedTuple):
    """Compares as PEP 440 orders versions. pre, post and dev hold the sort keys of those parts."""

    epoch: int
    release: tuple[int, ...]
    pre: tuple[int, int]
    post: int
    dev: int
    local: Local

    @property
    def is_prerelease(self) -> bool:
        return self.pre[0] not in (_FIRST, _LAST) or self.dev != _LAST


@lru_cache(maxsize=512)
def parse_version(text: str) -> Version:
    """Raises ValueError if `text` is not a PEP 440 version."""
    match = _VERSION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a version")
    part = match.groupdict()
    release = [int(number) for number in part["release"].split(".")]
    while len(release) > 1 and release[-1] == 0:
        release.pop()
    post = int(part["post_bare"] or part["post_n"] or 0) if part["post"] else _FIRST
    dev = int(part["dev_n"] or 0) if part["dev"] else _LAST
    if part["pre"]:
        pre = (_PRE_ORDER[part["pre"].lower()], int(part["pre_n"] or 0))
    else:
        # 1.0.dev1 comes before 1.0a1, which comes before 1.0.
        pre = (_FIRST, 0) if part["dev"] and not part["post"] else (_LAST, 0)
    local: list[tuple[int, str]] = []
    for piece in re.split(r"[-_.]", part["local"].lower()) if part["local"] else ():
        local.append((int(piece), "") if piece.isdigit() else (_FIRST, piece))
    return Version(int(part["epoch"] or 0), tuple(release), pre, post, dev, tuple(local))


def in_range(version: str, text: str) -> bool:
    """Whether `version` meets every clause of a range such as `">=2.9,<3"`. An empty range holds any.

    A pre-release counts like any other version: an installed nightly build is judged by its number.
    Raises ValueError if either does not parse.
    """
    parsed = parse_version(version)
    return all(_meets(parsed, *clause) for clause in parse_range(text))


@lru_cache(maxsize=512)
def parse_range(text: str) -> tuple[tuple[str, Version, tuple[int, ...] | None], ...]:
    """(operator, version, release prefix) for each clause; the prefix is given for `==1.*` and `~=1.2` alone."""
    clauses = []
    for clause in filter(str.strip, text.split(",")):
        match = _CLAUSE.fullmatch(clause)
        if match is None:
            raise ValueError(f"{clause.strip()!r} is not a version range; write one such as '>=2.9,<3'")
        operator, number, star = match.groups()
        version = parse_version(number)
        given = tuple(int(piece) for piece in _release_text(number).split("."))
        if star and operator not in ("==", "!="):
            raise ValueError(f"{clause.strip()!r}: '.*' goes with == or != only")
        if operator == "~=" and len(given) < 2:
            raise ValueError(f"{clause.strip()!r}: ~= needs at least two numbers")
        prefix = given[:-1] if operator == "~=" else given if star else None
        clauses.append((operator, version, prefix))
    return tuple(clauses)


def parse_requirement(text: str) -> tuple[str, str]:
    """(distribution, range) of a requirement such as `"torch>=2.9,<3"`; extras are dropped.

    Raises ValueError if it does not parse, or has an environment marker or URL.
    """
    match = _REQUIREMENT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a requirement such as 'torch>=2.9,<3' (markers and URLs are not served)")
    parse_range(match[2])
    return match[1], match[2].strip()


def _release_text(number: str) -> str:
    match = _VERSION.fullmatch(number)
    assert match is not None
    return match["release"]


def _meets(version: Version, operator: str, bound: Version, prefix: tuple[int, ...] | None) -> bool:
    public = version if bound.local and operator in ("==", "!=") else version._replace(local=())
    if prefix is not None:
        padded = (*version.release, *(0 for _ in prefix))[: len(prefix)]
        same = version.epoch == bound.epoch and padded == prefix
        if operator == "~=":
            return same and public >= bound
        return same == (operator == "==")
    if operator in ("==", "!="):
        return (public == bound) == (operator == "==")
    if operator == "<=":
        return public <= bound
    if operator == ">=":
        return public >= bound
    same_release = (version.epoch, version.release) == (bound.epoch, bound.release)
    if operator == "<":
        # 3.0a1 is not below 3.0 in the sense of a range that means to keep 3 out.
        return public < bound and not (same_release and version.is_prerelease and not bound.is_prerelease)
    # 1.7.post1 and 1.7+cpu are not past 1.7, unless the range itself speaks of a post-release.
    return public > bound and not (same_release and version.post != _FIRST and bound.post == _FIRST)
