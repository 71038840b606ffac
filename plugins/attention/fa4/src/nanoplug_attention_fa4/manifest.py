"""What this distribution offers to nanoplug."""

from __future__ import annotations

from nanoplug.spec import AttentionSpec, Needs, hookimpl


@hookimpl
def nanoplug_attention() -> list[AttentionSpec]:
    return [
        AttentionSpec(
            name="fa4",
            summary="FlashAttention-4 (CuTe DSL): Hopper and Blackwell, training calls with windows",
            load="nanoplug_attention_fa4.attention:Fa4Attention",
            needs=Needs(
                distributions=("torch>=2.9,<2.14", "flash-attn-4>=4.0.0b36,<4.1"),
                platforms=("linux",),
                devices=("cuda",),
                compute_capability=("==9.0", "==10.0"),
                # `cutlass` is the DSL's own module, on the path through a `.pth` file of its wheel.
                modules=("flash_attn", "cutlass"),
            ),
            dtypes={"bf16", "fp16"},
            # At other multiples of 8, 4.0.0b36 gives right outputs and wrong dq on compute capability 9.0.
            head_dims=range(32, 129, 32),
            window=True,
            gqa=True,
            backward=True,
            noncausal=True,
            compile_safe=True,
            memory="linear",
            launches={"cuda": r"FlashAttentionForward|kernel_cutlass"},
            rank=75,
            load_limit_s=120.0,
        )
    ]
