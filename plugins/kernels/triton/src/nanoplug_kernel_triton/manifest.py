"""What this distribution offers to nanoplug."""

from __future__ import annotations

from attrs import frozen

from nanoplug.spec import KernelSpec, Needs, hookimpl


@frozen(kw_only=True)
class Options:
    """chunk_rows: rows of hidden whose slopes (chunk_rows x V, in hidden's dtype) are held at once; 0 plans them for
    the shape: at most 512 MiB, and an eighth of what all rows would take.
    """

    chunk_rows: int = 0


@hookimpl
def nanoplug_kernel() -> list[KernelSpec]:
    return [
        KernelSpec(
            name="triton",
            summary="loss fused into its first matrix product, rms_norm and rotary, in Triton",
            load="nanoplug_kernel_triton.kernel:TritonKernel",
            needs=Needs(
                distributions=("torch>=2.9,<2.14", "triton>=3.5,<4"),
                devices=("cuda",),
                compute_capability=(">=8.0",),
                modules=("triton",),
            ),
            options=Options,
            ops={"linear_cross_entropy", "rms_norm", "rotary"},
            dtypes={"fp32", "bf16", "fp16"},
            softcap=True,
            reductions={"mean", "sum", "none"},
            backward=True,
            deterministic=True,
            compile_safe=True,
            memory="chunk",
            launches={"cuda": (r"nanoplug_triton::", r"(finish|softmax)_kernel")},
            rank=20,
            rank_on={"cuda": 60},
            load_limit_s=60.0,
        )
    ]
