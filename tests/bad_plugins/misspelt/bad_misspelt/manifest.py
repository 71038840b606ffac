"""Its hook has a wrong name."""

from nanoplug.spec import AttentionSpec, hookimpl


@hookimpl
def nanoplug_atention():
    return [AttentionSpec(name="misspelt", summary="Its hook has a wrong name.", load="bad_misspelt.backend:Backend")]
