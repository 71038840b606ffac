"""Makes a tokenizer folder as a whole: the plugin is resolved, makes a tokenizer, and is named in the manifest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nanoplug.cli.parts import Workshop
    from nanoplug.contracts import Tokenizer, TokenizerFactory
    from nanoplug.registry.piece import Piece
    from nanoplug.registry.request import Request


def make_tokenizer(
    workshop: Workshop,
    request: Request,
    make: Callable[[TokenizerFactory], Tokenizer],
    out: Path,
    *,
    rebuild: bool,
    on_chosen: Callable[[Piece], None],
) -> Tokenizer:
    """What `make` makes with the family that serves `request`, saved in `out`; on an error `out` is as it was.

    on_chosen: told which family before it is used. Raises DataError if `out` is in use and not to be rebuilt.
    """
    from nanoplug.data.made_folder import made_folder
    from nanoplug.data.tokenizer_folder import MANIFEST_NAME, save_tokenizer

    with made_folder(out, mark=MANIFEST_NAME, rebuild=rebuild) as folder:
        piece = workshop.resolve("tokenizer", request)
        on_chosen(piece)
        made = make(piece.backend)
        save_tokenizer(made, folder, plugin_id=piece.id, distribution=piece.distribution, version=piece.version)
    return made
