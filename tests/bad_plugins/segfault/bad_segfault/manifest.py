"""Loading its backend is a segmentation fault."""

from nanoplug.spec import AttentionSpec, hookimpl


@hookimpl
def nanoplug_attention():
    return [
        AttentionSpec(
            name="segfault", summary="Loading its backend is a segmentation fault.", load="bad_segfault.backend:Backend"
        )
    ]
