"""What this distribution offers to nanoplug."""

from __future__ import annotations

from attrs import frozen

from nanoplug.spec import KernelSpec, Needs, hookimpl


@frozen(kw_only=True)
class Options:
    """filter: backward skips tiles of the gradient whose entries are all below the dtype's resolution / 32, as the
    library does by default. Faster, but what it drops is lost: it is off unless asked for.
    pass_rows: rows of one backward pass. Within a pass the weight gradient is summed in the inputs' dtype, over passes
    in fp32, in a buffer of V x D x 4 bytes that a single pass does without.
    """

    filter: bool = False
    pass_rows: int = 2048


@hookimpl
def nanoplug_kernel() -> list[KernelSpec]:
    return [
        KernelSpec(
            name="cce",
            summary="Apple's Cut Cross-Entropy for CUDA: the loss with no logits in memory",
            load="nanoplug_kernel_cce.kernel:CutKernel",
            needs=Needs(
                distributions=("torch>=2.9,<2.14", "cut-cross-entropy>=25.1.1,<25.2", "triton>=3.5"),
                devices=("cuda",),
            ),
            options=Options,
            ops={"linear_cross_entropy"},
            dtypes={"bf16", "fp16"},
            softcap=True,
            reductions={"mean", "sum", "none"},
            backward=True,
            deterministic=False,
            compile_safe=True,
            memory="tile",
            launches={"cuda": (r"nanoplug_cce::", r"_cce_")},
            rank=20,
        )
    ]
