"""What this distribution offers to nanoplug."""

from __future__ import annotations

from nanoplug.spec import AttentionSpec, Needs, hookimpl

# Compiled for a TPU at each of these; sizes above 128 are padded to 256.
HEAD_DIMS = range(32, 257, 32)


@hookimpl
def nanoplug_attention() -> list[AttentionSpec]:
    return [
        AttentionSpec(
            name="pallas",
            summary="Pallas flash and splash attention by torch_xla; compiled for TPU, not executed on TPU",
            load="nanoplug_attention_pallas.attention:PallasAttention",
            needs=Needs(distributions=("torch_xla>=2.9,<2.10", "jax>=0.7.1,<0.8", "torchax>=0.0.7"), devices=("xla",)),
            dtypes={"fp32", "bf16"},
            head_dims=HEAD_DIMS,
            window=True,
            gqa=True,
            segments=True,
            backward=True,
            memory="linear",
            rank=60,
            load_limit_s=120.0,
        )
    ]
