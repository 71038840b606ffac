"""nanoplug tokenizer from any Hugging Face tokenizer.json, served by the tokenizers library."""
