"""What this distribution offers to nanoplug."""

from __future__ import annotations

from nanoplug.spec import KERNEL_OPS, KernelSpec, Needs, hookimpl


@hookimpl
def nanoplug_kernel() -> list[KernelSpec]:
    return [
        KernelSpec(
            name="torch",
            summary="plain torch, fused by torch.compile; the reference for every op",
            load="nanoplug_kernel_torch.kernel:TorchKernel",
            needs=Needs(distributions=("torch>=2.9,<2.14",)),
            ops=KERNEL_OPS,
            dtypes={"fp32", "bf16", "fp16"},
            softcap=True,
            reductions={"mean", "sum", "none"},
            backward=True,
            deterministic=True,
            compile_safe=True,
            memory="logits",
            reference=True,
            # Fused kernels are named after what went into them.
            launches=dict.fromkeys(("cpu", "cuda", "mps"), r"cross_entropy|nll_loss|log_softmax"),
            rank=50,
        )
    ]
