"""What this distribution offers to nanoplug."""

from __future__ import annotations

from attrs import frozen

from nanoplug.spec import AttentionSpec, Needs, hookimpl


@frozen(kw_only=True)
class Options:
    """deterministic: backward gives the same bits each time; slower, and for head sizes up to 192 only.

    tokens_per_document: a batch with document numbers may hold one document for so many tokens on average, or 16 a
    row where that is more. Room for more documents costs time and memory in backward.
    """

    deterministic: bool = False
    tokens_per_document: int = 128


@hookimpl
def nanoplug_attention() -> list[AttentionSpec]:
    return [
        AttentionSpec(
            name="fa3",
            summary="FlashAttention-3: Hopper, windows, documents, KV cache with rows of any length",
            load="nanoplug_attention_fa3.attention:Fa3Attention",
            needs=Needs(
                distributions=("torch>=2.9,<2.14",),
                platforms=("linux",),
                devices=("cuda",),
                compute_capability=("==9.0", "==12.1"),
                any_module=("flash_attn_interface", "xformers"),
            ),
            options=Options,
            dtypes={"bf16", "fp16"},
            head_dims=range(8, 257, 8),
            window=True,
            gqa=True,
            segments=True,
            cache=True,
            backward=True,
            noncausal=True,
            compile_safe=True,
            memory="linear",
            launches={"cuda": r"FlashAttnFwdSm|flash_attn_3::fwd"},
            rank=80,
            load_limit_s=60.0,
        )
    ]
