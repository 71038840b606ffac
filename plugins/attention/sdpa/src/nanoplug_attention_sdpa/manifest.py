"""What this distribution offers to nanoplug."""

from __future__ import annotations

from attrs import frozen

from nanoplug.spec import AttentionSpec, Needs, hookimpl


@frozen(kw_only=True)
class Options:
    """backend: torch's kernel for causal training calls without window or segments.

    `auto` prefers cuDNN on NVIDIA GPUs of compute capability 9.0 and 10.0 and leaves the choice to torch elsewhere;
    `cudnn`, `flash`, `efficient` and `math` require that kernel.
    """

    backend: str = "auto"


@hookimpl
def nanoplug_attention() -> list[AttentionSpec]:
    return [
        AttentionSpec(
            name="sdpa",
            summary="torch's scaled_dot_product_attention: every device, windows in blocks",
            load="nanoplug_attention_sdpa.attention:SdpaAttention",
            needs=Needs(distributions=("torch>=2.9,<2.14",), devices=("cpu", "cuda", "mps")),
            options=Options,
            dtypes={"fp32", "bf16", "fp16"},
            window=True,
            gqa=True,
            segments=True,
            cache=True,
            backward=True,
            noncausal=True,
            compile_safe=True,
            # Segments without a window go through a boolean (T, T) mask; everything else is linear in T.
            memory="quadratic",
            # On CUDA the kernel of cuDNN, FlashAttention-2 or CUTLASS; plain products with a softmax are none of them.
            launches={
                "cpu": r"aten::_?scaled_dot_product",
                "mps": r"aten::_?scaled_dot_product",
                "cuda": r"sdpa|flash_fwd|fmha",
            },
            rank=50,
        )
    ]
