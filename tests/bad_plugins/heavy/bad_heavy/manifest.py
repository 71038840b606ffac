"""Its manifest imports torch."""

import torch  # noqa: F401

from nanoplug.spec import AttentionSpec, hookimpl


@hookimpl
def nanoplug_attention():
    return [AttentionSpec(name="heavy", summary="Its manifest imports torch.", load="bad_heavy.backend:Backend")]
