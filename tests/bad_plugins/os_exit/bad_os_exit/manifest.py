"""Loading its backend ends the process."""

from nanoplug.spec import AttentionSpec, hookimpl


@hookimpl
def nanoplug_attention():
    return [
        AttentionSpec(
            name="os_exit", summary="Loading its backend ends the process.", load="bad_os_exit.backend:Backend"
        )
    ]
