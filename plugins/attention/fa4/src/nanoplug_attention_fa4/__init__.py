"""nanoplug attention through FlashAttention-4."""
