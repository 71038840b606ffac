"""nanoplug byte-level BPE tokenizer: rustbpe trains, tiktoken encodes."""
