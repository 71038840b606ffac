"""What this distribution offers to nanoplug."""

from __future__ import annotations

from attrs import frozen

from nanoplug.spec import AttentionSpec, Needs, hookimpl


@frozen(kw_only=True)
class Options:
    """chunk_rows: queries whose scores are held at once; fewer take less memory and more launches."""

    chunk_rows: int = 1024


@hookimpl
def nanoplug_attention() -> list[AttentionSpec]:
    return [
        AttentionSpec(
            name="chunked",
            summary="plain torch in chunks of queries: bounded memory on any device",
            load="nanoplug_attention_chunked.attention:ChunkedAttention",
            needs=Needs(distributions=("torch>=2.9,<2.14",)),
            options=Options,
            dtypes={"fp32", "bf16", "fp16"},
            window=True,
            gqa=True,
            segments=True,
            cache=True,
            backward=True,
            noncausal=True,
            deterministic=True,
            compile_safe=True,
            memory="chunk",
            launches=dict.fromkeys(("cpu", "cuda", "mps"), r"nanoplug_attention_chunked::attend"),
            rank=10,
        )
    ]
