"""Claims a name that another claims too."""

from nanoplug.spec import AttentionSpec, hookimpl


@hookimpl
def nanoplug_attention():
    return [
        AttentionSpec(name="twin", summary="Claims a name that another claims too.", load="bad_twin_b.backend:Backend")
    ]
