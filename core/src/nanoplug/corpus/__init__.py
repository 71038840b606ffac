"""From source code to documents for training."""
