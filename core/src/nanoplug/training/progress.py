"""What a person sees of a run: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from nanoplug.training.metrics import WARMUP_STEPS

_PLAIN_EVERY_S = 10.0
_NARROW_COLUMNS = 100


class Progress:
    """An observer of metric rows.

    steps: N of the run. start_step: where this process begins. console: where to write; a console that is
    no terminal gets a plain line about every ten seconds and at each evaluation.
    """

    def __init__(
        self,
        steps: int,
        *,
        start_step: int = 0,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._steps = steps
        self._console = console or Console()
        self._clock = clock
        self._printed_at: float | None = None
        self._seen = 0
        self._steady_ms = 0.0
        self._bar: Bar | None = None
        self._task = TaskID(0)
        self._narrow = False
        if self._console.is_terminal:
            self._narrow = self._console.width < _NARROW_COLUMNS
            self._bar = Bar(
                TextColumn("{task.fields[position]}"),
                *([] if self._narrow else [BarColumn(bar_width=None)]),
                TextColumn("{task.fields[numbers]}"),
                console=self._console,
                expand=not self._narrow,
            )
            self._task = self._bar.add_task("", total=steps, completed=start_step, position="starting", numbers="")
            self._bar.start()

    def __call__(self, row: Mapping[str, Any]) -> None:
        if row["event"] == "step":
            self._step(row)
        elif row["event"] == "eval":
            self._say(f"step {row['step']:,}: {_shown(row['val_bpb'], '.4f')} bits per byte on held-out text")
        elif row["event"] == "checkpoint":
            self._say(f"step {row['step']:,}: checkpoint saved")

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _step(self, row: Mapping[str, Any]) -> None:
        self._seen += 1
        if self._seen > WARMUP_STEPS:
            self._steady_ms += row["step_ms"]
        done = row["step"] + 1
        position = f"step {done:,}/{self._steps:,}"
        share = f"{100 * done / self._steps:.1f} %"
        numbers = "  ".join([share, *self._numbers(row)])
        if self._bar is not None:
            self._bar.update(self._task, completed=done, position=position, numbers=numbers)
            return
        now = self._clock()
        if self._printed_at is None or now - self._printed_at >= _PLAIN_EVERY_S or done == self._steps:
            self._printed_at = now
            self._say(f"{position}  {numbers}")

    def _numbers(self, row: Mapping[str, Any]) -> list[str]:
        parts = [f"loss {row['loss_ema']:.4f}", f"{_shown(row['tokens_per_s'], ',.0f')} tok/s"]
        if row["mfu"] is not None and not self._narrow:
            parts.append(f"MFU {100 * row['mfu']:.0f} %")
        if row["data_stall_share"] is not None and not self._narrow:
            parts.append(f"data stall {100 * row['data_stall_share']:.1f} %")
        if self._seen > WARMUP_STEPS:
            mean_s = self._steady_ms / (self._seen - WARMUP_STEPS) / 1e3
            parts.append(f"eta {duration((self._steps - row['step'] - 1) * mean_s)}")
        return parts

    def _say(self, line: str) -> None:
        # A narrow pipe must not wrap or shorten a line, and loss values are no markup.
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `1 h 52 min` or `3 d 4 h`."""
    if seconds < 59.5:
        return f"{round(seconds)} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours < 1:
        return f"{minutes} min"
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def _shown(value: float | None, form: str) -> str:
    return "?" if value is None else format(value, form)
