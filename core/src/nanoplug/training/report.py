"""The end of a run, for people and for programs: `loss.png`, `report.md` and `summary.json`."""

from __future__ import annotations

import io
import json
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from nanoplug.config import Config, differences, load_config, read_toml
from nanoplug.training.metrics import WARMUP_STEPS, read_rows
from nanoplug.training.progress import duration
from nanoplug.whole_files import write_bytes, write_text

_TRAIN, _TRAIN_RAW, _HELD_OUT = "#1f5fa8", "#8fb6e0", "#c4581b"
Row = Mapping[str, Any]


def write_report(
    run_folder: Path, *, peak_memory_bytes: int | None = None, facts: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Read `metrics.jsonl`, `receipt.json` and `config.toml`; write the three files; return the summary.

    facts: further lines for the report's table of numbers, such as the count of parameters. What the files do
    not tell is null in the summary and `unknown` in the report; a run without a step is fine. `summary.json`
    comes last: with it there, the others are too.
    """
    metrics = run_folder / "metrics.jsonl"
    rows = read_rows(metrics) if metrics.is_file() else []
    receipt = _read_json(run_folder / "receipt.json")
    summary = summarize(rows, peak_memory_bytes=peak_memory_bytes, receipt_sha256=receipt.get("sha256"))
    changed = _changed_values(run_folder / "config.toml")
    write_bytes(run_folder / "loss.png", draw(rows, run_folder.resolve().name))
    write_text(
        run_folder / "report.md",
        _document(run_folder.resolve().name, rows, summary, receipt, changed, facts or {}),
    )
    write_text(run_folder / "summary.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")
    return summary


def summarize(
    rows: Sequence[Row], *, peak_memory_bytes: int | None = None, receipt_sha256: str | None = None
) -> dict[str, Any]:
    """The content of `summary.json`.

    Losses are those of the first and last step, in nats per token; val_bpb of the first and last evaluation.
    tok_per_s and mfu are medians over the steps after the tenth, or over all of a shorter run. data_stall_s: waited for
    batches in all, of the time in steps a share of data_stall_share. cropped_share: of the tokens of the documents that
    were used; padding_share: of the places in rows.
    """
    steps = [row for row in rows if row["event"] == "step"]
    bpb = [row["val_bpb"] for row in rows if row["event"] == "eval"]
    steady = steps[WARMUP_STEPS:] or steps
    return {
        "steps": steps[-1]["step"] + 1 if steps else 0,
        "tokens": steps[-1]["tokens"] if steps else 0,
        "train_loss_first": steps[0]["loss"] if steps else None,
        "train_loss_last": steps[-1]["loss"] if steps else None,
        "val_bpb_first": bpb[0] if bpb else None,
        "val_bpb": bpb[-1] if bpb else None,
        "tok_per_s": _median(row["tokens_per_s"] for row in steady),
        "mfu": _median(row["mfu"] for row in steady),
        **_of_the_data(steps),
        "peak_memory_bytes": peak_memory_bytes,
        "receipt_sha256": receipt_sha256,
    }


def _of_the_data(steps: Sequence[Row]) -> dict[str, Any]:
    last = steps[-1] if steps else {}
    stall_s, elapsed_s = last.get("data_stall_s"), last.get("elapsed_s")
    return {
        "data_stall_s": stall_s,
        "data_stall_share": stall_s / elapsed_s if stall_s is not None and elapsed_s else None,
        "cropped_share": last.get("cropped_share"),
        "padding_share": last.get("padding_share"),
    }


def draw(rows: Sequence[Row], title: str) -> bytes:
    """PNG: training loss, each step's and smoothed, above; bits per byte on held-out text below."""
    steps = [row for row in rows if row["event"] == "step"]
    evals = [row for row in rows if row["event"] == "eval" and row["val_bpb"] is not None]
    figure = Figure(figsize=(9, 6.5), dpi=120, layout="constrained")
    figure.suptitle(title, fontsize=13, fontweight="bold")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    if steps:
        numbers = [row["step"] for row in steps]
        top.plot(numbers, [row["loss"] for row in steps], color=_TRAIN_RAW, linewidth=0.9, label="each step")
        top.plot(numbers, [row["loss_ema"] for row in steps], color=_TRAIN, linewidth=1.8, label="smoothed (EMA 0.9)")
        top.legend(frameon=False, loc="upper right")
        top.set_xlim(0, max(1, *(row["step"] for row in (*steps, *evals))))
    top.set_ylabel("loss (nats per token)")
    top.set_title("Training loss" if steps else "Training loss: no step was run", loc="left", fontsize=11)
    if evals:
        where, values = [row["step"] for row in evals], [row["val_bpb"] for row in evals]
        bottom.plot(where, values, color=_HELD_OUT, linewidth=1.4, marker="o", markersize=4, clip_on=False)
        bottom.margins(y=0.18)
        _label_ends(bottom, where, values)
    bottom.set_ylabel("bits per byte")
    bottom.set_xlabel("step")
    said = "Held-out text" if evals else "Held-out text: no evaluation was run"
    bottom.set_title(said, loc="left", fontsize=11)
    for panel in (top, bottom):
        panel.grid(color="#dddddd", linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    figure.align_ylabels((top, bottom))
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()


def _label_ends(panel: Any, steps: Sequence[int], values: Sequence[float]) -> None:
    ends = {0: "left", len(values) - 1: "right"} if len(values) > 1 else {0: "left"}
    for index, side in ends.items():
        panel.annotate(
            f"{values[index]:.3f}",
            (steps[index], values[index]),
            xytext=(8 if side == "left" else -2, 7),
            textcoords="offset points",
            ha=side,
            color=_HELD_OUT,
            fontsize=9,
        )


def _document(
    title: str,
    rows: Sequence[Row],
    summary: Mapping[str, Any],
    receipt: Mapping[str, Any],
    changed: Sequence[str],
    facts: Mapping[str, Any],
) -> str:
    parts = [
        f"# {title}",
        _headline(summary),
        "![training loss and bits per byte on held-out text](loss.png)",
        "## Numbers\n\n" + _table(("what", "value"), _numbers(rows, summary, facts)),
        "## What ran\n\n" + _what_ran(receipt),
        "## Configuration\n\n" + _configuration(changed),
        *_evaluations(rows),
        *_samples(rows),
    ]
    return "\n\n".join(parts) + "\n"


def _headline(summary: Mapping[str, Any]) -> str:
    if not summary["steps"]:
        return "No step was run."
    text = f"{summary['steps']:,} steps on {summary['tokens']:,} tokens."
    first, last = summary["val_bpb_first"], summary["val_bpb"]
    if first and last is not None:
        text += (
            f" Bits per byte on held-out text: {first:.4f} before, {last:.4f} after ({100 * last / first:.0f} % of it)."
        )
    return text


def _numbers(rows: Sequence[Row], summary: Mapping[str, Any], facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    steps = [row for row in rows if row["event"] == "step"]
    bpb = [row["val_bpb"] for row in rows if row["event"] == "eval" and row["val_bpb"] is not None]
    memory, mfu = summary["peak_memory_bytes"], summary["mfu"]
    return [
        ("steps", _shown(summary["steps"])),
        ("tokens", _shown(summary["tokens"])),
        ("training loss, first step", _shown(summary["train_loss_first"], "nats per token")),
        ("training loss, last step", _shown(summary["train_loss_last"], "nats per token")),
        ("training loss, last, smoothed", _shown(steps[-1]["loss_ema"] if steps else None, "nats per token")),
        ("held-out text, first", _shown(summary["val_bpb_first"], "bits per byte")),
        ("held-out text, last", _shown(summary["val_bpb"], "bits per byte")),
        ("held-out text, best", _shown(min(bpb) if bpb else None, "bits per byte")),
        ("throughput", _shown(summary["tok_per_s"] and round(summary["tok_per_s"]), "tokens per second")),
        ("MFU", "unknown" if mfu is None else f"{100 * mfu:.1f} %"),
        ("peak memory", "unknown" if memory is None else f"{memory / 2**20:,.0f} MiB"),
        ("waiting for data", _share(summary["data_stall_share"], "of the time in training steps")),
        ("cropped by packing", _share(summary["cropped_share"], "of the tokens of the documents used")),
        ("padding of training rows", _share(summary["padding_share"], "of their tokens")),
        ("time in training steps", duration(steps[-1]["elapsed_s"]) if steps else "unknown"),
        *((name, _shown(value)) for name, value in facts.items()),
    ]


def _what_ran(receipt: Mapping[str, Any]) -> str:
    if not receipt:
        return "There is no receipt."
    head = ("site", "backend", "from", "why")
    pieces = [
        (piece["site"], piece["name"], f"{piece['distribution']} {piece['version']}", piece["why"])
        for piece in receipt["pieces"]
    ]
    where = ", ".join(receipt["devices"]) or "unknown devices"
    versions = f"nanoplug {receipt['core']}, torch {receipt['torch']}, Python {receipt['python']}, on {where}"
    return f"{_table(head, pieces)}\n\n{versions}; receipt `{receipt['sha256']}`."


def _changed_values(config: Path) -> list[str]:
    if not config.is_file():
        return []
    loaded = load_config(read_toml(config), {}, source=config.name)
    return differences(Config().to_dict(), loaded.config.to_dict())


def _configuration(changed: Sequence[str]) -> str:
    if not changed:
        return "All values are defaults."
    listed = "\n".join(changed)
    return f"What differs from the defaults (default -> here):\n\n```\n{listed}\n```"


def _evaluations(rows: Sequence[Row]) -> list[str]:
    """The last row of each further kind of event that has numbers, such as an evaluation by compiling code."""
    last = {row["event"]: row for row in rows if row["event"] not in ("step", "eval", "sample", "checkpoint")}
    return [
        f"## {event}, at step {row['step']:,}\n\n"
        + _table(("what", "value"), [(key, _shown(row[key])) for key in row if key not in ("event", "step")])
        for event, row in last.items()
    ]


def _samples(rows: Sequence[Row]) -> list[str]:
    samples = [row for row in rows if row["event"] == "sample"]
    last = [row for row in samples if row["step"] == samples[-1]["step"]]
    if not last:
        return []
    blocks = [_fenced(f"{row['prompt']}{row['completion']}") for row in last]
    return [f"## Samples at step {last[0]['step']:,}\n\nGreedy; each begins with its prompt.", *blocks]


def _fenced(text: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}cpp\n{text}\n{fence}"


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows
    )


def _shown(value: Any, unit: str = "") -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    number = f"{value:.4f}" if isinstance(value, float) else f"{value:,}" if abs(value) >= 10_000 else str(value)
    return f"{number} {unit}".rstrip()


def _share(value: float | None, of: str) -> str:
    return "unknown" if value is None else f"{100 * value:.1f} % {of}"


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return content
