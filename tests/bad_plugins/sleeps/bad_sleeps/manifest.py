"""Loading its backend never ends."""

from nanoplug.spec import AttentionSpec, hookimpl


@hookimpl
def nanoplug_attention():
    return [
        AttentionSpec(
            name="sleeps",
            summary="Loading its backend never ends.",
            load="bad_sleeps.backend:Backend",
            load_limit_s=1.5,
        )
    ]
