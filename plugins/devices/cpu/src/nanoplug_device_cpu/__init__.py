"""nanoplug device runtime for CPUs."""
