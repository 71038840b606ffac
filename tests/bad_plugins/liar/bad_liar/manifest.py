"""Its load target has no such object."""

from nanoplug.spec import AttentionSpec, hookimpl


@hookimpl
def nanoplug_attention():
    return [AttentionSpec(name="liar", summary="Its load target has no such object.", load="bad_liar.backend:Missing")]
