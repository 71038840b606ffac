"""Its backend cannot be imported."""

from nanoplug.spec import AttentionSpec, hookimpl


@hookimpl
def nanoplug_attention():
    return [
        AttentionSpec(
            name="unimportable", summary="Its backend cannot be imported.", load="bad_unimportable.backend:Backend"
        )
    ]
