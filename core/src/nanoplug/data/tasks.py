"""A handful of documents of one row group, and what turns them into tokens in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from nanoplug.data.rendering import DocumentKey, Rendering
from nanoplug.data.shards import TextReader
from nanoplug.errors import DataError

Pieces = list[list[NDArray[np.integer[Any]]]]
"""For each document its pieces, each led by BOS."""


@frozen
class Task:
    """Documents `rows` of row group `index` of `shard`, which is group `group` of all, as they are in `epoch`."""

    shard: Path
    index: int
    epoch: int
    group: int
    rows: Sequence[int]


Render = Callable[[Task], Pieces]


class RenderText:
    """Reads the texts of a task and renders them. row_tokens: longest piece, or None."""

    def __init__(self, rendering: Rendering, *, row_tokens: int | None, threads: int) -> None:
        self.rendering = rendering
        self._row_tokens, self._threads = row_tokens, threads
        self._reader = TextReader()

    def __call__(self, task: Task) -> Pieces:
        texts = self._reader.texts(task.shard, task.index)
        if task.rows and not 0 <= min(task.rows) <= max(task.rows) < len(texts):
            raise DataError(f"{task.shard}: row group {task.index} has {len(texts)} rows, not {max(task.rows) + 1}.")
        chosen = [texts[row] for row in task.rows]
        keys = [DocumentKey(task.epoch, task.group, row) for row in task.rows]
        return [
            list(pieces)
            for pieces in self.rendering.render(chosen, keys, row_tokens=self._row_tokens, threads=self._threads)
        ]
