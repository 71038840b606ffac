"""Results as a picture: for each shape a bar a backend, forward within forward and backward."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nanoplug.benching.measure import Result

COLUMNS = 2
TRAINING, FORWARD, FAILED = "#4C78A8", "#1F3B57", "#B04A4A"


def draw(path: Path, results: Sequence[Sequence[Result]], *, title: str) -> None:
    """Writes a picture in the format that the ending of `path` names. results: of one shape after the other."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(COLUMNS, len(results))
    lines = -(-len(results) // columns)
    most = max(len(of_shape) for of_shape in results)
    figure = Figure(figsize=(6.4 * columns, lines * (1.1 + 0.38 * most) + 0.9), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(lines, columns, squeeze=False).flat
    for axis, of_shape in zip(axes, results, strict=False):
        _bars(axis, of_shape)
    for axis in list(axes)[len(results) :]:
        axis.set_visible(False)
    figure.suptitle(title, fontsize=11)
    handles, labels = next(axis.get_legend_handles_labels() for axis in figure.axes)
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def _bars(axis: object, results: Sequence[Result]) -> None:
    rows = list(reversed(results))
    names = [result.contender.name for result in rows]
    places = range(len(rows))
    whole = [result.training_ms or 0.0 for result in rows]
    forward = [result.forward_ms or 0.0 for result in rows]
    axis.barh(places, whole, color=TRAINING, height=0.7, label="forward and backward")  # type: ignore[attr-defined]
    axis.barh(places, forward, color=FORWARD, height=0.3, label="forward alone")  # type: ignore[attr-defined]
    longest = max((*whole, *forward), default=0.0) or 1.0
    for place, result in zip(places, rows, strict=True):
        text = f"{result.ms:,.3g} ms" if not result.failed else _short(result.failed)
        at = 0.0 if result.failed else result.ms
        color = FAILED if result.failed else "black"
        axis.text(at + 0.01 * longest, place, text, va="center", fontsize=8, color=color)  # type: ignore[attr-defined]
    axis.set_yticks(places, names)  # type: ignore[attr-defined]
    axis.set_xlim(0, 1.22 * longest)  # type: ignore[attr-defined]
    axis.set_xlabel("ms, median", fontsize=8)  # type: ignore[attr-defined]
    axis.tick_params(labelsize=9)  # type: ignore[attr-defined]
    axis.set_title(str(results[0].shape), fontsize=9)  # type: ignore[attr-defined]
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)  # type: ignore[attr-defined]


def _short(text: str, size: int = 60) -> str:
    return text if len(text) <= size else f"{text[: size - 1]}…"
