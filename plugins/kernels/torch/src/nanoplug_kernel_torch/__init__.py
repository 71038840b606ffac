"""nanoplug reference kernels in plain torch."""
