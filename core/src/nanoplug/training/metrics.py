"""What a run records of itself: one row of JSON a training step, and one for each evaluation, sample and checkpoint.

Step s of 0..N-1 trains. What happens before it, an evaluation say, has the same number; the last has number N.
Rows of a run that was interrupted and resumed are those of an uninterrupted one, times excepted.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import torch
from attrs import define, field, frozen
from torch import Tensor

from nanoplug.data.packing import PackingCounts
from nanoplug.errors import DataError, NanoplugError
from nanoplug.whole_files import full_disk_explained, write_text

WARMUP_STEPS = 10
_EMA = 0.9

Observer = Callable[[Mapping[str, Any]], None]


@frozen
class _Step:
    step: int
    loss: Tensor
    lr_factor: float
    cropped_share: float | None
    padding_share: float | None


@define
class _Window:
    """Steps whose losses are still on the device, and the time they took."""

    steps: list[_Step] = field(factory=list)
    seconds: float = 0.0
    waited_s: float = 0.0


class Metrics:
    """Collects rows, writes them to `path`, and gives each to every observer.

    tokens_per_step: of all devices. flops_per_token: for MFU. peak_flops: FLOP/s of one device, None if not
    known: MFU is then null. log_every: losses stay on the device and are read together every so many steps,
    so that recording costs no synchronisation a step; `step_ms` and what follows from it are means over the
    steps read together. observers: called with each row, read-only; one that raises is reported and heard
    no more. A file that is there is replaced at the first row unless `load_state` went before.
    """

    def __init__(
        self,
        path: Path,
        *,
        tokens_per_step: int,
        flops_per_token: int = 0,
        peak_flops: float | None = None,
        world_size: int = 1,
        log_every: int = 10,
        observers: Sequence[Observer] = (),
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.path = path
        self.loss_ema: float | None = None
        self.val_bpb: float | None = None
        self.min_val_bpb: float | None = None
        self.elapsed_s = self.data_stall_s = 0.0
        self._tokens_per_step = tokens_per_step
        self._flops_per_step = flops_per_token * tokens_per_step
        self._peak_flops = peak_flops * world_size if peak_flops else None
        self._log_every = log_every
        self._observers = list(observers)
        self._clock = clock
        self._window = _Window()
        self._step_began: float | None = None
        self._steps_seen = 0
        self._ema_sum = 0.0
        self._updates = 0
        self._next_step = 0
        self._file: IO[str] | None = None

    @contextmanager
    def waiting_for_data(self) -> Iterator[None]:
        """Around taking a batch. The first of a step is where the step's time begins."""
        began = self._clock()
        if self._step_began is None:
            self._step_began = began
        yield
        self._window.waited_s += self._clock() - began

    def stepped(self, step: int, loss: Tensor, *, lr_factor: float, packing: PackingCounts | None = None) -> None:
        """After the optimizer's step. loss: 0-dim, nats per token, mean over micro-batches and ranks, on any device.

        packing: what packing did from the beginning to this step's last batch.
        Raises NanoplugError that names the step when a loss that is read here is not finite.
        """
        cropped, padding = (packing.cropped_share, packing.padding_share) if packing else (None, None)
        self._window.steps.append(_Step(step, loss.detach().clone(), lr_factor, cropped, padding))
        self._steps_seen += 1
        # Alone: the first step, which compiles; and the steps before which times do not count.
        due = (step + 1) % self._log_every == 0 or self._steps_seen in (1, WARMUP_STEPS)
        losses = self._read_losses() if due else []
        now = self._clock()
        self._window.seconds += now - (now if self._step_began is None else self._step_began)
        self._step_began = None
        if due:
            self._write_steps(losses)

    def evaluated(self, step: int, val_bpb: float, values: Mapping[str, Any] = MappingProxyType({})) -> None:
        """val_bpb: bits per byte on held-out text before step `step`. values: further columns of the row."""
        self.record("eval", step, {"val_bpb": val_bpb, **values})
        self.val_bpb = val_bpb if math.isfinite(val_bpb) else None
        self.min_val_bpb = min((bpb for bpb in (self.val_bpb, self.min_val_bpb) if bpb is not None), default=None)

    def sampled(self, step: int, prompt: str, completion: str) -> None:
        self.record("sample", step, {"prompt": prompt, "completion": completion})

    def checkpointed(self, step: int) -> None:
        """After the checkpoint of `step` is whole."""
        self.record("checkpoint", step, {})

    def record(self, event: str, step: int, values: Mapping[str, Any]) -> None:
        """One row of any kind; rows of the steps before it are written first."""
        self.flush()
        self._emit({"event": event, "step": step, **values})

    def flush(self) -> None:
        """Read and write the steps that are pending. Best called before an evaluation, so that times stay apart."""
        if not self._window.steps:
            return
        began = self._clock()
        losses = self._read_losses()
        self._window.seconds += self._clock() - began
        self._write_steps(losses)

    def state_dict(self) -> dict[str, Any]:
        """State for a checkpoint, for JSON. All rows so far are on the disk when it returns."""
        self.flush()
        if self._file is not None:
            os.fsync(self._file.fileno())
        return {
            "step": self._next_step,
            "ema_sum": self._ema_sum,
            "updates": self._updates,
            "elapsed_s": self.elapsed_s,
            "data_stall_s": self.data_stall_s,
            "val_bpb": self.val_bpb,
            "min_val_bpb": self.min_val_bpb,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint: rows that the run will write again are cut from the file."""
        step = int(state["step"])
        self._next_step = step
        self._ema_sum, self._updates = float(state["ema_sum"]), int(state["updates"])
        self.loss_ema = self._debiased() if self._updates else None
        self.elapsed_s, self.data_stall_s = float(state["elapsed_s"]), float(state["data_stall_s"])
        self.val_bpb, self.min_val_bpb = state["val_bpb"], state["min_val_bpb"]
        rows = [row for row in (read_rows(self.path) if self.path.is_file() else []) if _stays(row, step)]
        # A run killed between its checkpoint and the row that says so.
        if step > 0 and not any(row["event"] == "checkpoint" and row["step"] == step for row in rows):
            rows.append({"event": "checkpoint", "step": step})
        self._start_file(rows)

    def close(self) -> None:
        """Write what is pending and close the file."""
        self.flush()
        if self._file is not None:
            file, self._file = self._file, None
            with full_disk_explained(self.path):
                file.close()

    def _read_losses(self) -> list[float]:
        values: list[float] = torch.stack([pending.loss.float() for pending in self._window.steps]).tolist()
        return values

    def _write_steps(self, losses: list[float]) -> None:
        window, self._window = self._window, _Window()
        step_s, stall_s = window.seconds / len(window.steps), window.waited_s / len(window.steps)
        for pending, loss in zip(window.steps, losses, strict=True):
            if not math.isfinite(loss):
                raise NanoplugError(
                    f"the loss is {loss} at step {pending.step}; training cannot go on from there.",
                    todo="Earlier checkpoints are intact. Lower the learning rates, or use --precision fp32.",
                )
            self._ema_sum = _EMA * self._ema_sum + (1 - _EMA) * loss
            self._updates += 1
            self._next_step = pending.step + 1
            self.loss_ema = self._debiased()
            self.elapsed_s += step_s
            self.data_stall_s += stall_s
            self._emit(
                {
                    "event": "step",
                    "step": pending.step,
                    "tokens": (pending.step + 1) * self._tokens_per_step,
                    "loss": loss,
                    "loss_ema": self.loss_ema,
                    "lr_factor": pending.lr_factor,
                    "step_ms": step_s * 1e3,
                    "tokens_per_s": self._tokens_per_step / step_s if step_s else None,
                    "mfu": self._flops_per_step / step_s / self._peak_flops if self._peak_flops and step_s else None,
                    "data_stall_share": window.waited_s / window.seconds if window.seconds else None,
                    "data_stall_s": self.data_stall_s,
                    "cropped_share": pending.cropped_share,
                    "padding_share": pending.padding_share,
                    "elapsed_s": self.elapsed_s,
                }
            )

    def _debiased(self) -> float:
        return self._ema_sum / (1 - _EMA**self._updates)

    def _emit(self, row: dict[str, Any]) -> None:
        if self._file is None:
            self._file = self._start_file([])
        row = {key: None if _not_finite(value) else value for key, value in row.items()}
        with full_disk_explained(self.path):
            self._file.write(_line(row))
            self._file.flush()
        for observer in tuple(self._observers):
            try:
                observer(MappingProxyType(row))
            except Exception as error:
                self._observers.remove(observer)
                logging.getLogger(__name__).warning(
                    "an observer of the run failed and hears no more: %s: %s", type(error).__name__, error
                )

    def _start_file(self, rows: Sequence[Mapping[str, Any]]) -> IO[str]:
        if self._file is not None:
            self._file.close()
        write_text(self.path, "".join(_line(row) for row in rows))
        self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115  held open for the whole run
        return self._file


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a metrics file. A last line that was cut off is left out; any other bad line raises DataError."""
    rows = []
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            int(row["step"]), str(row["event"])
            rows.append(row)
        except (ValueError, TypeError, KeyError):
            if number == len(lines):
                break
            raise DataError(
                f"{path}: line {number} is no row of metrics.", todo="Remove that line, or move the file away."
            ) from None
    return rows


def _stays(row: Mapping[str, Any], step: int) -> bool:
    """Whether a run that goes on from the checkpoint of `step` will not write this row again.

    It saved that checkpoint already, and evaluates, samples and trains at `step` anew.
    """
    return bool(row["step"] <= step if row["event"] == "checkpoint" else row["step"] < step)


def _not_finite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
