"""What this distribution offers to nanoplug."""

from __future__ import annotations

from attrs import frozen

from nanoplug.spec import KernelSpec, Needs, hookimpl


@frozen(kw_only=True)
class Options:
    """accumulate_fp32: the weight gradient of the fused loss is summed over its chunks in fp32, not in the dtype of
    the weight: nearer to the exact one, for V x D x 4 bytes more.
    """

    accumulate_fp32: bool = False


@hookimpl
def nanoplug_kernel() -> list[KernelSpec]:
    return [
        KernelSpec(
            name="liger",
            summary="Liger-Kernel's fused loss, cross entropy and RMS norm for CUDA",
            load="nanoplug_kernel_liger.kernel:LigerKernel",
            needs=Needs(
                distributions=("torch>=2.9,<2.14", "liger-kernel>=0.8.5,<0.9", "triton>=3.5"), devices=("cuda",)
            ),
            options=Options,
            ops={"linear_cross_entropy", "cross_entropy", "rms_norm"},
            dtypes={"fp32", "bf16", "fp16"},
            softcap=True,
            reductions={"mean", "sum", "none"},
            backward=True,
            deterministic=True,
            compile_safe=True,
            memory="chunk",
            launches={"cuda": (r"nanoplug_liger::", r"liger_cross_entropy")},
            rank=30,
        )
    ]
