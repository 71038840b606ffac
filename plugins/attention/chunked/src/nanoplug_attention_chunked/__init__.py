"""nanoplug attention in chunks of queries."""
