"""nanoplug loss and norm kernels from Liger-Kernel, safe under torch.compile."""
