"""nanoplug loss kernel from Cut Cross-Entropy: no logits in memory, safe under torch.compile."""
