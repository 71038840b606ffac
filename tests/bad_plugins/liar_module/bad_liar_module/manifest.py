"""Its load target is no module."""

from nanoplug.spec import AttentionSpec, hookimpl


@hookimpl
def nanoplug_attention():
    return [
        AttentionSpec(
            name="liar_module", summary="Its load target is no module.", load="bad_liar_module.nowhere:Backend"
        )
    ]
