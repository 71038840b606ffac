"""nanoplug loss kernel in row chunks: bounded memory on any device."""
