"""Lists, after the tests, which wrong implementations the laws rejected (`-p nanoplug.conformance.pytest_summary`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

PROPERTY = "nanoplug_rejected"
"""Recorded by a test: kind, law, backend, and the names of the wrong implementations."""


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = terminalreporter.stats.get("passed", [])
    found = [value for report in reports for name, value in report.user_properties if name == PROPERTY]
    if found:
        terminalreporter.section("wrong implementations that the laws rejected")
        for line in lines(found):
            terminalreporter.write_line(line)


def lines(found: Iterable[tuple[str, str, str, list[str]]]) -> list[str]:
    """A line for each law: on how many backends it proved itself, and what it rejected."""
    backends: dict[tuple[str, str], set[str]] = {}
    wrong: dict[tuple[str, str], dict[str, None]] = {}
    for kind, law, backend, names in found:
        backends.setdefault((kind, law), set()).add(backend)
        wrong.setdefault((kind, law), {}).update(dict.fromkeys(names))
    made = [
        f"{kind} {law}, on {len(backends[kind, law])} backend(s): {', '.join(names)}"
        for (kind, law), names in sorted(wrong.items())
    ]
    return [*made, f"{sum(map(len, wrong.values()))} wrong implementations in all, none of which a law let pass"]
