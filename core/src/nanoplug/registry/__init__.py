"""Finds, judges, chooses and loads plugins. Light: imports no torch."""

from nanoplug.registry.catalogue import Catalogue, Entry, Plugin, Problem
from nanoplug.registry.choice import Choice
from nanoplug.registry.discover import discover
from nanoplug.registry.machine import Machine
from nanoplug.registry.observers import observers
from nanoplug.registry.piece import Piece
from nanoplug.registry.receipt import Receipt
from nanoplug.registry.request import Request
from nanoplug.registry.rows import Row, rows
from nanoplug.registry.select import Resolver, resolve
from nanoplug.registry.tuning import Tuning
from nanoplug.registry.verdicts import Verdicts

__all__ = [
    "Catalogue",
    "Choice",
    "Entry",
    "Machine",
    "Piece",
    "Plugin",
    "Problem",
    "Receipt",
    "Request",
    "Resolver",
    "Row",
    "Tuning",
    "Verdicts",
    "discover",
    "observers",
    "resolve",
    "rows",
]
