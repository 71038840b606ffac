"""The report of a run: exact keys, honest numbers, and something readable whatever the run holds."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from nanoplug.training.report import draw, summarize, write_report

KEYS = [
    "steps",
    "tokens",
    "train_loss_first",
    "train_loss_last",
    "val_bpb_first",
    "val_bpb",
    "tok_per_s",
    "mfu",
    "data_stall_s",
    "data_stall_share",
    "cropped_share",
    "padding_share",
    "peak_memory_bytes",
    "receipt_sha256",
]
RECEIPT = {
    "core": "1.0.0",
    "torch": "2.11.0",
    "python": "3.12.3",
    "devices": ["Some Chip"],
    "sha256": "9d41" * 16,
    "pieces": [
        {
            "site": "kernel",
            "name": "fast",
            "distribution": "acme-kernel",
            "version": "0.3.0",
            "why": "auto: a | b",
        }
    ],
}


def step(number: int, **changes: Any) -> dict[str, Any]:
    row = {
        "event": "step",
        "step": number,
        "tokens": (number + 1) * 1000,
        "loss": 9.0 - 0.1 * number,
        "loss_ema": 9.0 - 0.09 * number,
        "lr_factor": 1.0,
        "step_ms": 100.0,
        "tokens_per_s": 10_000.0,
        "mfu": None,
        "data_stall_share": 0.0,
        "data_stall_s": 0.005 * (number + 1),
        "cropped_share": 0.015,
        "padding_share": 0.0,
        "elapsed_s": 0.1 * (number + 1),
    }
    return row | changes


def make_run(folder: Path, rows: list[dict[str, Any]], *, config: str = "", receipt: bool = True) -> Path:
    folder.mkdir()
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "config.toml").write_text(config)
    if receipt:
        (folder / "receipt.json").write_text(json.dumps(RECEIPT))
    return folder


def whole_run() -> list[dict[str, Any]]:
    rows = [{"event": "eval", "step": 0, "val_bpb": 3.0}]
    rows += [step(number) for number in range(20)]
    rows += [
        {"event": "checkpoint", "step": 20},
        {"event": "eval", "step": 20, "val_bpb": 1.5},
        {"event": "cpp_eval", "step": 20, "pass_rate": 0.25},
        {"event": "sample", "step": 20, "prompt": "int ", "completion": "main();\n```"},
    ]
    return rows


def test_summary_of_a_whole_run() -> None:
    summary = summarize(whole_run(), peak_memory_bytes=7, receipt_sha256="abc")
    assert list(summary) == KEYS
    assert summary == {
        "steps": 20,
        "tokens": 20_000,
        "train_loss_first": 9.0,
        "train_loss_last": pytest.approx(7.1),
        "val_bpb_first": 3.0,
        "val_bpb": 1.5,
        "tok_per_s": 10_000.0,
        "mfu": None,
        "data_stall_s": pytest.approx(0.1),
        "data_stall_share": pytest.approx(0.05),
        "cropped_share": 0.015,
        "padding_share": 0.0,
        "peak_memory_bytes": 7,
        "receipt_sha256": "abc",
    }


def test_throughput_leaves_out_the_first_ten_steps_and_single_stalls() -> None:
    slow = [step(number, tokens_per_s=10.0, mfu=0.01) for number in range(10)]
    fast = [step(number, tokens_per_s=10_000.0, mfu=0.5) for number in range(10, 30)]
    compiled_again = step(30, tokens_per_s=5.0, mfu=0.001)
    summary = summarize([*slow, *fast, compiled_again])
    assert (summary["tok_per_s"], summary["mfu"]) == (10_000.0, 0.5)
    assert summarize(slow)["tok_per_s"] == 10.0


def test_summary_without_a_step_has_nulls() -> None:
    summary = summarize([])
    assert list(summary) == KEYS
    assert (summary.pop("steps"), summary.pop("tokens")) == (0, 0)
    assert set(summary.values()) == {None}


def test_files_of_a_whole_run(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "runs-a", whole_run(), config="[model]\ndepth = 4\n")
    summary = write_report(folder, peak_memory_bytes=3 << 20, facts={"parameters": 12345678})
    assert json.loads((folder / "summary.json").read_text()) == summary
    assert summary["receipt_sha256"] == RECEIPT["sha256"]
    report = (folder / "report.md").read_text()
    for part in (
        "# runs-a",
        "(loss.png)",
        "3.0000 before, 1.5000 after (50 % of it)",
        "| peak memory | 3 MiB |",
        "| waiting for data | 5.0 % of the time in training steps |",
        "| cropped by packing | 1.5 % of the tokens of the documents used |",
        "| padding of training rows | 0.0 % of their tokens |",
        "| parameters | 12,345,678 |",
        "| MFU | unknown |",
        "| kernel | fast | acme-kernel 0.3.0 | auto: a \\| b |",
        "model.depth 20 -> 4",
        "| pass_rate | 0.2500 |",
        "````cpp\nint main();\n```\n````",
    ):
        assert part in report
    assert "model.head_dim" not in report
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.toml",
        "loss.png",
        "metrics.jsonl",
        "receipt.json",
        "report.md",
        "summary.json",
    ]


def test_run_without_a_step_still_has_a_report(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "empty", [], receipt=False)
    assert write_report(folder)["val_bpb"] is None
    report = (folder / "report.md").read_text()
    assert "No step was run." in report
    assert "There is no receipt." in report
    assert "All values are defaults." in report
    assert "nan" not in report.lower().split()


@pytest.mark.parametrize("rows", [[], [step(0)], [{"event": "eval", "step": 0, "val_bpb": 2.0}], whole_run()])
def test_picture_is_a_png_for_any_rows(rows: list[dict[str, Any]]) -> None:
    picture = draw(rows, "run")
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", picture[16:24]) == (1080, 780)


def test_picture_shows_the_rows() -> None:
    assert draw(whole_run(), "run") != draw(whole_run()[:10], "run")
