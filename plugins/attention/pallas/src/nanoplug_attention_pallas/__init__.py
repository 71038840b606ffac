"""nanoplug attention through Pallas's flash and splash kernels, for TPUs by torch_xla."""
