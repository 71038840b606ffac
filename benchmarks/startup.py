"""CPU seconds of commands that only help, list or explain, against their budget; children are counted.

`python benchmarks/startup.py` appends a row for each command to `results/startup.jsonl`, and exits 1 above the budget.
"""

from __future__ import annotations

import os
import subprocess
import sys

from harness import median, record, table

BUDGET_CPU_S = 0.4
ROUNDS = 9
COMMANDS = (
    ("--help",),
    ("plugins", "list"),
    ("explain", "attention", "--on", "sm_89,torch=2.11,dtype=bf16"),
)


def cpu_s(arguments: tuple[str, ...]) -> float:
    """User and system time of one run and of everything that it starts."""
    before = os.times()
    subprocess.run([sys.executable, "-m", "nanoplug", *arguments], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return (after.children_user - before.children_user) + (after.children_system - before.children_system)


def main() -> int:
    rows = []
    for arguments in COMMANDS:
        cpu_s(arguments)  # the steady state: files are cached, backends have been loaded once
        times = [cpu_s(arguments) for _ in range(ROUNDS)]
        row = {
            "command": " ".join(("nanoplug", *arguments)),
            "unit": "s of CPU",
            "median": round(median(times), 3),
            "lowest": round(min(times), 3),
            "highest": round(max(times), 3),
            "rounds": ROUNDS,
            "budget": BUDGET_CPU_S,
            "device": f"{os.cpu_count()} CPU cores",
        }
        rows.append(record("startup", row))
    print(table(rows, ("command", "median", "lowest", "highest", "budget", "unit")))
    return int(any(row["median"] > BUDGET_CPU_S for row in rows))


if __name__ == "__main__":
    sys.exit(main())
