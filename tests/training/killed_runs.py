"""Runs `nanoplug` commands in children of a process that has imported everything already, and kills them: SIGKILL.

Reads one JSON line a command from stdin, and answers with one on stdout:
    {"arguments": [...], "output": FILE, "after_s": SECONDS, "at_event": NUMBER, "at_first": NAME}
    {"killed": true, "exit_code": null, "events": [NAME, ...]}

All three moments of the end may be null. Events are moments of writing: before and after each fsync and each rename, in
the middle of a file, in the middle of removing a folder. A child ends at its `at_event`-th, or at the first of a name.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.backends.backend_agg  # noqa: F401  imported once for all children
import torch

from nanoplug.cli import run_training  # noqa: F401
from nanoplug.cli.main import main
from nanoplug.training import checkpoint


class Moments:
    """Counts events, tells them through a pipe, and ends this process at the one that is asked for."""

    def __init__(self, at_event: int | None, at_first: str | None, pipe: int) -> None:
        self.at_event, self.at_first, self.pipe, self.number = at_event, at_first, pipe, 0

    def now(self, name: str, damage: Callable[[], object] = lambda: None) -> None:
        self.number += 1
        os.write(self.pipe, f"{name}\n".encode())
        if self.number == self.at_event or name == self.at_first:
            damage()
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, module: Any, name: str) -> None:
        real = getattr(module, name)

        def wrapped(*arguments: Any, **options: Any) -> Any:
            self.now(f"before {name}")
            result = real(*arguments, **options)
            self.now(f"after {name}")
            return result

        setattr(module, name, wrapped)

    def install(self) -> None:
        for name in ("fsync", "rename", "replace"):
            self.around(os, name)
        save_file, write_text, rmtree = checkpoint.save_file, Path.write_text, shutil.rmtree

        def half_save_file(tensors: Any, path: Path) -> None:
            save_file(tensors, path)
            self.now("half of a tensor file", lambda: os.truncate(path, path.stat().st_size // 2))

        def half_write_text(path: Path, text: str, **options: Any) -> int:
            self.now(f"half of {path.name}", lambda: write_text(path, text[: len(text) // 2], **options))
            return write_text(path, text, **options)

        def half_rmtree(path: Path, **options: Any) -> None:
            self.now("half of removing a folder", lambda: next(Path(path).iterdir()).unlink())
            rmtree(path, **options)

        checkpoint.save_file = half_save_file
        Path.write_text = half_write_text  # type: ignore[method-assign,assignment]
        shutil.rmtree = half_rmtree  # type: ignore[assignment]


def child(order: dict[str, Any], pipe: int) -> None:
    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    Moments(order["at_event"], order["at_first"], pipe).install()
    code: Any = 1
    try:
        main(order["arguments"])
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run(order: dict[str, Any]) -> dict[str, Any]:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        child(order, writing)
    os.close(writing)
    if order["after_s"] is not None:
        time.sleep(order["after_s"])
        os.kill(pid, signal.SIGKILL)
    with open(reading, encoding="utf-8") as told:
        events = told.read().splitlines()
    _, status = os.waitpid(pid, 0)
    killed = os.WIFSIGNALED(status)
    return {"killed": killed, "exit_code": None if killed else os.WEXITSTATUS(status), "events": events}


if __name__ == "__main__":
    torch.empty(1, device="meta").normal_()  # what torch imports at the first use
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)
