"""What a person sees: one bar on a terminal, few whole lines elsewhere."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from nanoplug.training.progress import Progress, duration


def row(step: int, **changes: Any) -> dict[str, Any]:
    values = {
        "event": "step",
        "step": step,
        "loss_ema": 1.9021,
        "step_ms": 2000.0,
        "tokens_per_s": 173_400.4,
        "mfu": 0.612,
        "data_stall_share": 0.0,
    }
    return values | changes


def plain(steps: int, **options: Any) -> tuple[Progress, io.StringIO]:
    out = io.StringIO()
    return Progress(steps, console=Console(file=out, width=40), **options), out


def test_plain_line_has_everything_and_is_not_wrapped() -> None:
    progress, out = plain(5000)
    for step in range(1239, 1251):
        progress(row(step))
    progress.close()
    first = out.getvalue().splitlines()[0]
    assert first == "step 1,240/5,000  24.8 %  loss 1.9021  173,400 tok/s  MFU 61 %  data stall 0.0 %"


def test_plain_lines_come_about_every_ten_seconds_and_at_the_end() -> None:
    now = 0.0
    progress, out = plain(100, clock=lambda: now)
    for step in range(100):
        now += 1.0
        progress(row(step))
    lines = out.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == [f"{n}/100" for n in (*range(1, 100, 10), 100)]


def test_eta_counts_steps_after_the_tenth() -> None:
    now = 0.0
    progress, out = plain(1000, clock=lambda: now)
    for step in range(30):
        now += 10.0
        progress(row(step, step_ms=90_000.0 if step < 10 else 2000.0))
    lines = out.getvalue().splitlines()
    assert all("eta" not in line for line in lines[:10])
    assert lines[10].endswith("eta 33 min")
    assert lines[-1].endswith("eta 32 min")


def test_unknown_mfu_is_not_shown() -> None:
    progress, out = plain(10)
    progress(row(0, mfu=None, tokens_per_s=None))
    assert "MFU" not in out.getvalue()
    assert "? tok/s" in out.getvalue()


def test_evaluations_and_checkpoints_are_said() -> None:
    progress, out = plain(10)
    progress({"event": "eval", "step": 4, "val_bpb": 1.25})
    progress({"event": "checkpoint", "step": 4})
    assert out.getvalue().splitlines() == [
        "step 4: 1.2500 bits per byte on held-out text",
        "step 4: checkpoint saved",
    ]


def test_terminal_gets_a_bar_and_whole_lines_above_it() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=160, color_system=None, legacy_windows=False)
    progress = Progress(20, console=console)
    for step in range(10):
        progress(row(step))
    progress({"event": "eval", "step": 10, "val_bpb": 1.5})
    progress.close()
    progress.close()
    text = out.getvalue()
    assert "\n" in text
    assert any(line.strip("\r\x1b[2KA ").startswith("step 10: 1.5000 bits") for line in text.splitlines())
    assert "step 10/20" in text
    assert "50.0 %  loss 1.9021" in text


def test_narrow_terminal_keeps_what_matters_whole() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, color_system=None, legacy_windows=False)
    progress = Progress(5000, console=console)
    for step in range(4979, 4991):
        progress(row(step))
    progress.close()
    assert "step 4,991/5,000 99.8 %  loss 1.9021  173,400 tok/s  eta 18 s" in out.getvalue()
    assert "…" not in out.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3570, "1 h 0 min"),
        (6720, "1 h 52 min"),
        (171_000, "47 h 30 min"),
        (172_800, "2 d 0 h"),
        (273_600, "3 d 4 h"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
