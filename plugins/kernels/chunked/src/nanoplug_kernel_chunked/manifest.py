"""What this distribution offers to nanoplug."""

from __future__ import annotations

from attrs import frozen

from nanoplug.spec import KernelSpec, Needs, hookimpl


@frozen(kw_only=True)
class Options:
    """chunk_rows: rows of hidden whose logits are held at once; fewer take less memory and more launches."""

    chunk_rows: int = 4096


@hookimpl
def nanoplug_kernel() -> list[KernelSpec]:
    return [
        KernelSpec(
            name="chunked",
            summary="loss in chunks of rows: bounded memory on any device",
            load="nanoplug_kernel_chunked.kernel:ChunkedKernel",
            needs=Needs(distributions=("torch>=2.9,<2.14",)),
            options=Options,
            ops={"linear_cross_entropy"},
            dtypes={"fp32", "bf16", "fp16"},
            softcap=True,
            reductions={"mean", "sum", "none"},
            backward=True,
            deterministic=True,
            compile_safe=True,
            memory="chunk",
            launches=dict.fromkeys(("cpu", "cuda", "mps"), r"nanoplug_chunked::"),
            rank=40,
        )
    ]
