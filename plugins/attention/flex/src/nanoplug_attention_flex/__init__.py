"""nanoplug attention through torch's compiled flex_attention."""
