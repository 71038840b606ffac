"""nanoplug's own Triton kernels: the loss over hidden and vocabulary, rms_norm and rotary."""
