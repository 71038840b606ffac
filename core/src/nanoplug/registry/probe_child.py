"""Run by `probe` as a script: loads one backend and writes what came of it. Imports nothing of nanoplug itself."""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from typing import Any


def main() -> None:
    order = json.loads(sys.stdin.buffer.read())
    sys.path[:] = order["path"]
    module, _, name = order["target"].partition(":")
    told = {"error": "", "missing": "", "traceback": ""}
    missing = ""
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            missing = f"{module} has no {name!r}"
            found = getattr(found, part)
        missing = ""
        found(**order["options"])
    except BaseException as error:  # SystemExit too: it would have ended the run
        first_line = next(iter(str(error).splitlines()), "")
        error_line = f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__
        told = {"error": error_line, "missing": missing, "traceback": traceback.format_exc()}
    temporary = order["answer"] + ".part"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(told, file)
    os.replace(temporary, order["answer"])
    sys.stdout.flush()
    sys.stderr.flush()
    # Whether it can be loaded is answered; threads and teardown of what it loaded are no part of that.
    os._exit(0)


if __name__ == "__main__":
    main()
