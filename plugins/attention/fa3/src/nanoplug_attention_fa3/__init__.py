"""nanoplug attention through FlashAttention-3."""
