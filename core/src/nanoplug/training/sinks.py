"""Optional places where the rows of a run also go: TensorBoard and Weights & Biases, each behind an extra."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nanoplug.errors import NanoplugError
from nanoplug.whole_files import write_text

_WANDB_EVERY_STEPS = 100

# Column of a step row, and its name in the dashboards.
_TRAIN_NAMES = {
    "loss": "train/loss",
    "loss_ema": "train/loss_ema",
    "lr_factor": "train/lrm",
    "step_ms": "train/dt",
    "tokens_per_s": "train/tok_per_sec",
    "mfu": "train/mfu",
    "data_stall_share": "train/data_stall_share",
    "cropped_share": "train/cropped_share",
}


def require_installed(*, tensorboard: bool, wandb: bool) -> None:
    """Raises NanoplugError that says what to install, unless what is asked for can be imported."""
    if tensorboard:
        _summary_writer()
    if wandb:
        _wandb()


def _summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise NanoplugError(
            f"TensorBoard was asked for and cannot be imported: {error}.",
            todo="pip install 'nanoplug[tensorboard]', or drop --tensorboard.",
        ) from error
    return SummaryWriter


def _wandb() -> Any:
    try:
        import wandb
    except ImportError as error:
        raise NanoplugError(
            f"Weights & Biases was asked for and cannot be imported: {error}.",
            todo="pip install 'nanoplug[wandb]', or drop --wandb.",
        ) from error
    return wandb


class TensorBoardSink:
    """An observer that writes event files into `folder`. start_step: later steps from before are hidden."""

    def __init__(self, folder: Path, *, start_step: int = 0) -> None:
        self._writer = _summary_writer()(log_dir=str(folder), purge_step=start_step or None)

    def __call__(self, row: Mapping[str, Any]) -> None:
        for name, value in dashboard_values(row).items():
            self._writer.add_scalar(name, value, row["step"])
        if row["event"] == "sample":
            text = f"{row['prompt']}{row['completion']}"
            self._writer.add_text("samples", f"```cpp\n{text}\n```", row["step"])

    def close(self) -> None:
        self._writer.close()


class WandbSink:
    """An observer that logs to the project; every 100th step, and all evaluations.

    folder: holds wandb's own files and the id under which a resumed run goes on. flops_per_token: for the
    total. config: shown with the run.
    """

    def __init__(self, project: str, folder: Path, *, config: Mapping[str, Any], flops_per_token: int) -> None:
        wandb = _wandb()
        folder.mkdir(parents=True, exist_ok=True)
        known = folder / "run_id"
        if not known.is_file():
            write_text(known, secrets.token_hex(8))
        self._flops_per_token = flops_per_token
        self._run = wandb.init(
            project=project,
            name=folder.parent.name,
            dir=str(folder),
            id=known.read_text().strip(),
            resume="allow",
            config=dict(config),
        )

    def __call__(self, row: Mapping[str, Any]) -> None:
        if row["event"] == "step" and row["step"] % _WANDB_EVERY_STEPS:
            return
        values = dashboard_values(row)
        if row["event"] == "step":
            values["total_training_flops"] = row["tokens"] * self._flops_per_token
            values["total_training_time"] = row["elapsed_s"]
        if values:
            self._run.log({"step": row["step"], **values})

    def close(self) -> None:
        self._run.finish()


def dashboard_values(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row under dashboard names; what is null is left out."""
    if row["event"] == "step":
        named = {name: row[column] for column, name in _TRAIN_NAMES.items()}
    elif row["event"] == "eval":
        named = {"val/bpb": row["val_bpb"]}
    else:
        named = {key: value for key, value in row.items() if key not in ("event", "step")}
    return {
        name: value for name, value in named.items() if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
