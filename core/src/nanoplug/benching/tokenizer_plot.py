"""Tokenizers as a picture: bytes a token against speed, one dot each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nanoplug.benching.tokenizers import TokenizerResult

DOT, PEER = "#4C78A8", "#B0B0B0"


def draw(path: Path, results: Sequence[TokenizerResult], *, title: str) -> None:
    """Writes a picture in the format that the ending of `path` names; those that failed are not in it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    measured = [result for result in results if not result.failed]
    for result in measured:
        x, y = result.encode_mb_s or 0.0, result.bytes_per_token or 0.0
        axis.scatter([x], [y], color=DOT if result.entrant.fingerprint else PEER, s=42, zorder=3)
        label = f"{result.entrant.name}, {result.vocab_size:,} ids"
        axis.annotate(label, (x, y), xytext=(6, 5), textcoords="offset points", fontsize=8)
    axis.set_xlabel("encode, MB/s on one thread", fontsize=9)
    axis.set_ylabel("bytes a token", fontsize=9)
    axis.margins(x=0.2, y=0.15)
    axis.set_xlim(left=0)
    axis.grid(alpha=0.3)
    axis.tick_params(labelsize=8)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    axis.set_title(title, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
