from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from nanoplug.benching.measure import Result
from nanoplug.benching.plot import draw
from nanoplug.benching.shapes import parse_shape


def test_names_times_shapes_and_failures_are_drawn(contender: Callable[..., Any], tmp_path: Path) -> None:
    shapes = [parse_shape("attention", f"T={tokens},H=2,D=8") for tokens in (64, 128, 256)]
    of_shapes = [
        [
            Result(contender=contender("quick"), shape=shape, compiled=False, forward_ms=0.5, training_ms=1.625),
            Result(contender=contender("full"), shape=shape, compiled=False, failed="out of memory"),
        ]
        for shape in shapes
    ]
    path = tmp_path / "new" / "bench.svg"
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none"}):
        draw(path, of_shapes, title="attention on a chip")
    text = path.read_text()
    assert all(word in text for word in ("quick", "1.62 ms", "out of memory", "attention on a chip", "forward alone"))
    assert all(str(shape) in text for shape in shapes)
