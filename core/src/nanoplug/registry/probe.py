"""The first load of a backend, in a child process with a time limit, so that it cannot end or stop this one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nanoplug.registry.catalogue import Entry
from nanoplug.registry.machine import Machine
from nanoplug.registry.options import defaults
from nanoplug.registry.verdicts import CRASHED, FAILED, HUNG, OK, Subject, Verdict, Verdicts, installed

_CHILD = Path(__file__).with_name("probe_child.py")
_AT_ONCE = 2
_SHOWN_BYTES = 4000
# The child is one process on its own: with these it would wait for the other ranks of a run.
_OF_A_RUN = ("RANK", "LOCAL_RANK", "GROUP_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def probe(entries: Iterable[Entry], machine: Machine, verdicts: Verdicts, *, limit_s: float | None = None) -> None:
    """Load each backend that has no verdict in a child, two at a time, and record what came of it.

    limit_s: instead of each spec's own `load_limit_s`. One line on stderr says that it happens.
    """
    work = [(entry, Subject.of(entry, machine), limit_s or entry.spec.load_limit_s) for entry in entries]
    if all(verdicts.find(subject, limit) for _, subject, limit in work):
        return
    with verdicts.turn():
        work = [(entry, subject, limit) for entry, subject, limit in work if not verdicts.find(subject, limit)]
        if work:
            names = ", ".join(f"{entry.kind} {entry.name}" for entry, _, _ in work)
            print(f"nanoplug: first load of {names}, in a child process", file=sys.stderr)
            _probe_all(work, verdicts)


def _probe_all(work: Sequence[tuple[Entry, Subject, float]], verdicts: Verdicts) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        futures = [
            (subject, pool.submit(probe_target, entry.spec.load, defaults(entry.spec), limit))
            for entry, subject, limit in work
        ]
        for subject, future in futures:
            verdicts.record(subject, future.result())


def probe_target(target: str, options: Mapping[str, Any], limit_s: float) -> Verdict:
    """Import `target` and call it with `options` in a child process; what came of it."""
    with tempfile.TemporaryDirectory(prefix="nanoplug-probe-") as folder:
        said, answer = Path(folder, "said"), Path(folder, "answer")
        order = {"path": sys.path, "target": target, "options": dict(options), "answer": str(answer)}
        code = _run(json.dumps(order), said, limit_s)
        tail = said.read_bytes()[-_SHOWN_BYTES:].decode(errors="replace").strip()
        if code is None:
            text = f"loading it did not finish within {limit_s:g} s"
            return Verdict(outcome=HUNG, text=text, cause=tail, limit_s=limit_s)
        if not answer.exists():
            return Verdict(outcome=CRASHED, text=f"loading it {_ending(code)}", cause=tail, limit_s=limit_s)
        told = json.loads(answer.read_text(encoding="utf-8"))
    if told["error"]:
        cause = "\n".join(filter(None, (told["traceback"].strip(), tail)))
        lies = f"its load target {target!r} lies: {told['missing']}"
        text = lies if told["missing"] else f"loading it failed: {told['error']}"
        return Verdict(outcome=FAILED, text=text, cause=cause, limit_s=limit_s, installed=installed())
    return Verdict(outcome=OK, limit_s=limit_s)


def _run(order: str, said: Path, limit_s: float) -> int | None:
    """Exit status of the child (negative: the signal), or None if it ran out of time and was killed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TORCHELASTIC_")}
    for name in _OF_A_RUN:
        environment.pop(name, None)
    with open(said, "wb") as out:
        child = subprocess.Popen(
            _command(), stdin=subprocess.PIPE, stdout=out, stderr=out, env=environment, start_new_session=True
        )
        try:
            child.communicate(order.encode(), timeout=limit_s)
            return child.returncode
        except subprocess.TimeoutExpired:
            return None
        finally:
            _kill_all(child)


def _command() -> Sequence[str]:
    """Isolated, so that neither the working directory nor the environment shadows a module of the child's own."""
    no_bytecode = ["-B"] if sys.dont_write_bytecode else []
    return [sys.executable, "-I", *no_bytecode, "-X", "faulthandler", str(_CHILD)]


def _kill_all(child: subprocess.Popen[bytes]) -> None:
    """End the child and whatever it started."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    except PermissionError:  # macOS says this of a group whose members have all ended
        pass
    child.wait()


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended the process with exit status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    return f"ended the process by signal {-code} ({name})"
