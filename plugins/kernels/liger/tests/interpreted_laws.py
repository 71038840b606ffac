"""Holds the laws against this backend in Triton's CPU interpreter; run by `test_conformance.py`.

Cases of many rows are left out: each row is a program run in Python.
"""

from __future__ import annotations

from attrs import evolve

from nanoplug.conformance.interpreted_triton import complete_the_interpreter, report
from nanoplug.conformance.kit import laws_for
from nanoplug.conformance.law import Subject

MOST_ROWS = 70


def main() -> None:
    complete_the_interpreter()
    from nanoplug_kernel_liger.kernel import LigerKernel  # only now may its kernels be imported
    from nanoplug_kernel_liger.manifest import nanoplug_kernel

    spec = evolve(nanoplug_kernel()[0], dtypes={"fp32", "fp16"})
    laws = laws_for("kernel")
    report(Subject(kind="kernel", name="liger", spec=spec, backend=LigerKernel()), laws, most_rows=MOST_ROWS)
    subject = Subject(kind="kernel", name="accumulate_fp32", spec=spec, backend=LigerKernel(accumulate_fp32=True))
    report(subject, [law for law in laws if law.name == "loss_gradients"], most_rows=MOST_ROWS)


if __name__ == "__main__":
    main()
