"""Nothing is wrong with this one."""

from nanoplug.spec import AttentionSpec, hookimpl


@hookimpl
def nanoplug_attention():
    return [AttentionSpec(name="good", summary="Nothing is wrong with this one.", load="bad_good.backend:Backend")]
