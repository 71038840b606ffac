"""Records what `nanoplug verify --json` printed as a row: python benchmarks/verify_row.py FILE [--results DIR]."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from harness import RESULTS, record

from nanoplug.registry.machine import Machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    seen = json.loads(given.file.read_text())
    worst: dict[str, float] = {}
    for case in seen["laws"]:
        if case["error"] is not None and case["limit"]:
            worst[case["law"]] = max(worst.get(case["law"], 0.0), round(case["error"] / case["limit"], 4))
        if not case["ok"]:
            print("  broken:", case)
    row = {key: value for key, value in seen.items() if key not in ("laws", "device")}
    row = {"device": Machine.here().names[0], **row, "worst_error_over_limit": worst}
    record("verify", row, folder=given.results)
    print(f"verify {seen['kind']} {seen['name']}: {seen['passed']} passed, {seen['failed']} failed,", end=" ")
    print(f"{seen['skipped']} skipped; {seen['wrong_rejected']} wrong ones rejected, {len(seen['wrong_survived'])} not")


if __name__ == "__main__":
    main()
