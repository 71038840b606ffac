"""What a tokenizer process opens for itself. Imports no torch, so that a process is there in a moment."""

from __future__ import annotations

from pathlib import Path

from nanoplug.cli.build_rendering import build_rendering
from nanoplug.cli.parts import Workshop, resolve_tokenizer
from nanoplug.config import Config
from nanoplug.data.rendering import PlainRendering, Rendering


def worker_rendering(config: Config) -> Rendering:
    """The rendering of a run's training documents, from its configuration alone."""
    return build_rendering(config, resolve_tokenizer(Workshop.of(config), Path(config.data.tokenizer_dir))[1])


def worker_plain_rendering(config: Config) -> Rendering:
    """Documents as they are, by the tokenizer that the configuration names."""
    return PlainRendering(resolve_tokenizer(Workshop.of(config), Path(config.data.tokenizer_dir))[1])
