"""The options of every command that opens a run folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

_Command = Callable[..., Any]


def run_options(*, required: bool = True) -> Callable[[_Command], _Command]:
    """Adds --run (`run`), --step, --precision, and the choices of backends (`device`, `kernel`, `attention`)."""

    def add(command: _Command) -> _Command:
        for option in (
            click.option("--precision", help="Compute dtype: auto, fp32, bf16 or fp16 [the run's own]."),
            click.option("--attention", metavar="CHOICE", help="Both attention sites [the run's own]."),
            click.option("--kernel", metavar="CHOICE", help="Backend of the kernels [the run's own]."),
            click.option("--device", metavar="CHOICE", help="Backend of the device [the run's own]."),
            click.option("--step", type=click.IntRange(min=0), help="Which checkpoint [the latest]."),
            click.option(
                "--run", "run", type=click.Path(path_type=Path), required=required, help="Folder of a training run."
            ),
        ):
            command = option(command)
        return command

    return add


def chosen(device: str | None, kernel: str | None, attention: str | None) -> dict[str, str]:
    """The given choices by site, as `open_run` takes them."""
    sites = {"device": device, "kernel": kernel, "attention.train": attention, "attention.decode": attention}
    return {site: choice for site, choice in sites.items() if choice is not None}
