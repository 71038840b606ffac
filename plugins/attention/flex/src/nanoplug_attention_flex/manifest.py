"""What this distribution offers to nanoplug."""

from __future__ import annotations

from nanoplug.spec import AttentionSpec, Needs, hookimpl

# flex_attention takes no fewer than 16, and its kernels are chosen for up to 256.
HEAD_DIMS = range(16, 257, 16)


@hookimpl
def nanoplug_attention() -> list[AttentionSpec]:
    return [
        AttentionSpec(
            name="flex",
            summary="torch's compiled flex_attention: windows and documents skip whole blocks of keys",
            load="nanoplug_attention_flex.attention:FlexAttention",
            needs=Needs(
                distributions=("torch>=2.9,<2.14",), devices=("cuda",), compute_capability=">=8.0", modules=("triton",)
            ),
            dtypes={"fp32", "bf16", "fp16"},
            head_dims=HEAD_DIMS,
            window=True,
            gqa=True,
            segments=True,
            cache=True,
            backward=True,
            noncausal=True,
            compile_safe=True,
            memory="linear",
            launches={"cuda": r"flex_attention|triton_tem_fused"},
            rank=45,
        )
    ]
