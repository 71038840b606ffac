"""Run by `test_interpreter` with Triton's interpreter on: laws of a kernel on the CPU, outcomes as JSON lines.

The interpreter is wrong for bf16, so fp32 and fp16 are judged; and it is slow for the 131,072 rows of the memory law.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from attrs import asdict, evolve
from nanoplug_kernel_triton.kernel import TritonKernel
from nanoplug_kernel_triton.manifest import nanoplug_kernel

from nanoplug.conformance.kernel_calls import Loss
from nanoplug.conformance.kit import laws_for
from nanoplug.conformance.law import Case, Law, Subject, judge

NOT_HERE = {"memory", "bad_targets"}
LOSS = "linear_cross_entropy"
# Paths that the grid of the laws does not reach: rows that the copy engine cannot take, so that torch's product
# is capped by a kernel of its own; several chunks, the last one short; a cap too large for the direct form.
MORE: dict[str, list[Loss]] = {
    "mean_loss": [Loss(op=LOSS, dtype="fp32", width=10, softcap=15.0), Loss(op=LOSS, dtype="fp32", softcap=60.0)],
    "softcap_gradients": [
        Loss(op=LOSS, dtype="fp32", width=10, softcap=15.0, rows=67),
        Loss(op=LOSS, dtype="fp32", softcap=15.0, rows=67, reduction="sum", vocabulary=257),
        Loss(op=LOSS, dtype="fp32", softcap=60.0, scale=20.0, rows=67),
        Loss(op=LOSS, dtype="fp32", softcap=15.0, scale=40.0, rows=67, reduction="none"),
    ],
}


def judged(law: Law) -> Iterator[dict[str, object]]:
    spec = evolve(nanoplug_kernel()[0], dtypes={"fp32", "fp16"})
    for chunk_rows in (0, 13):
        subject = Subject(kind="kernel", name="triton", spec=spec, backend=TritonKernel(chunk_rows=chunk_rows))
        more = [loss.case() for loss in MORE.get(law.name, [])]
        cases: list[Case] = more if chunk_rows else [*law.cases(subject), *more]
        for case in cases:
            yield {**asdict(judge(law, subject, case)), "chunk_rows": chunk_rows}


def main() -> None:
    for law in laws_for("kernel"):
        if law.name not in NOT_HERE:
            for outcome in judged(law):
                print(json.dumps(outcome))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
