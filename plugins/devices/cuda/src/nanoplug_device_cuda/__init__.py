"""nanoplug device runtime for one CUDA GPU."""
