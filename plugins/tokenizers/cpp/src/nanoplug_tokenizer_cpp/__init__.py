"""nanoplug tokenizer for C++: a fixed C++ vocabulary and learned byte-level BPE."""
