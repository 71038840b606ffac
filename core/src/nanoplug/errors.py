"""Errors that end a command. Each says who, what was got, what was expected, and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class NanoplugError(Exception):
    """Base of every error that nanoplug raises on purpose. The command line prints it and exits 1.

    `message` is one sentence: what was got and what was expected. `todo` says what to do next.
    `details` are further lines, one reason each.
    """

    def __init__(self, message: str, *, todo: str = "", details: Iterable[str] = ()) -> None:
        self.message = message
        self.todo = todo
        self.details = tuple(details)
        super().__init__(message)

    def __str__(self) -> str:
        return "\n".join([self.message, *(f"  {line}" for line in (*self.details, self.todo) if line)])


class ConfigError(NanoplugError):
    """A configuration value is unknown, of the wrong type, or contradicts another."""


class PluginError(NanoplugError):
    """A plugin cannot be used: unknown, broken, quarantined, or unable to serve the request."""


class ContractError(NanoplugError, ValueError):
    """A call broke a contract: wrong shape, dtype, id or option. Raised before any kernel launches."""


class DataError(NanoplugError):
    """Input data is missing, empty, binary, or not what it claims to be."""


class CheckpointError(NanoplugError):
    """A checkpoint is missing, truncated, or belongs to another configuration."""


class RunConflict(NanoplugError):
    """A run folder was made with other parts or another configuration."""


def nearest(name: str, known: Iterable[str]) -> str:
    """`" (did you mean 'x'?)"` for the closest known name, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""
