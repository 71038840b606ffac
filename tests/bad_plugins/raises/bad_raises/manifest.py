"""Its manifest raises."""

raise RuntimeError("no licence for this machine")
