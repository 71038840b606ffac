"""Speaks a hook API of the far future."""

from nanoplug.spec import AttentionSpec, hookimpl


@hookimpl
def nanoplug_attention():
    return [
        AttentionSpec(
            name="api99", summary="Speaks a hook API of the far future.", load="bad_api99.backend:Backend", api=">=99"
        )
    ]
