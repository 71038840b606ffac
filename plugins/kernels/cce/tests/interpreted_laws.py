"""Holds the laws against this backend in Triton's CPU interpreter; run by `test_conformance.py`.

The largest cases are left out.
"""

from __future__ import annotations

from attrs import evolve

from nanoplug.conformance.interpreted_triton import complete_the_interpreter, report
from nanoplug.conformance.kit import laws_for
from nanoplug.conformance.law import Subject

MOST_ROWS = 300
OF_MANY_ROWS = ("many_rows", "gradients_of_many_rows")


def main() -> None:
    complete_the_interpreter()
    from nanoplug_kernel_cce.kernel import CutKernel  # only now may its kernels be imported
    from nanoplug_kernel_cce.manifest import nanoplug_kernel

    spec = evolve(nanoplug_kernel()[0], dtypes={"fp16"})
    laws = laws_for("kernel")
    subject = Subject(kind="kernel", name="cce", spec=spec, backend=CutKernel())
    report(subject, laws, most_rows=MOST_ROWS, whole=OF_MANY_ROWS)
    of_options = [law for law in laws if law.name in ("loss_gradients", "gradients_of_each_row")]
    for name, backend in {"filter": CutKernel(filter=True), "pass_rows": CutKernel(pass_rows=16)}.items():
        report(Subject(kind="kernel", name=name, spec=spec, backend=backend), of_options, most_rows=MOST_ROWS)


if __name__ == "__main__":
    main()
